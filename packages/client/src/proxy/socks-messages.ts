import { isIP } from "node:net";
import type { Destination } from "./destination.ts";
import { SocksReply } from "./failure.ts";
import type { Parsed } from "./read-message.ts";

/** Version byte of RFC 1928. */
export const SOCKS5 = 5;
/** Version byte of the username/password negotiation, RFC 1929. */
const LOGIN_VERSION = 1;

/** Authentication methods of RFC 1928 section 3. */
export const SocksMethod = { None: 0, Login: 2, Unacceptable: 0xff } as const;
/** One of {@link SocksMethod}. */
export type SocksMethod = (typeof SocksMethod)[keyof typeof SocksMethod];

/** Commands of RFC 1928 section 4; we serve CONNECT alone. */
export const SOCKS_CONNECT = 1;
const AddressType = { V4: 1, Name: 3, V6: 4 } as const;

/** A message that is not what the RFC says; `reply` where the RFC has an answer for it. */
export class SocksFormatError extends Error {
  readonly reply: SocksReply | undefined;
  constructor(message: string, reply?: SocksReply) {
    super(message);
    this.reply = reply;
  }
}

/** What a client can do: `VER NMETHODS METHODS`. */
export function parseGreeting(bytes: Buffer): Parsed<{ methods: readonly number[] }> {
  if (bytes.length > 0 && bytes[0] !== SOCKS5) throw new SocksFormatError("not SOCKS5");
  const count = bytes[1];
  if (count === undefined || bytes.length < 2 + count) return undefined;
  return { methods: [...bytes.subarray(2, 2 + count)], length: 2 + count };
}

/** A client's user and password: `VER ULEN UNAME PLEN PASSWD`. */
export function parseLogin(bytes: Buffer): Parsed<{ username: string; password: string }> {
  if (bytes.length > 0 && bytes[0] !== LOGIN_VERSION) throw new SocksFormatError("not a user and password");
  const nameLength = bytes[1];
  if (nameLength === undefined) return undefined;
  const passwordLength = bytes[2 + nameLength];
  if (passwordLength === undefined || bytes.length < 3 + nameLength + passwordLength) return undefined;
  return {
    username: bytes.toString("utf8", 2, 2 + nameLength),
    password: bytes.toString("utf8", 3 + nameLength, 3 + nameLength + passwordLength),
    length: 3 + nameLength + passwordLength,
  };
}

/** What a client wants: `VER CMD RSV ATYP DST.ADDR DST.PORT`. The name stays a name: it is resolved at the exit. */
export function parseRequest(bytes: Buffer): Parsed<{ command: number; destination: Destination }> {
  const parsed = parseAddressed(bytes);
  if (parsed === undefined) return undefined;
  return { command: parsed.code, destination: parsed.address, length: parsed.length };
}

/** Another proxy's answer to a request: `VER REP RSV ATYP BND.ADDR BND.PORT`. */
export function parseReply(bytes: Buffer): Parsed<{ reply: number }> {
  // Some proxies send the two bytes that matter and hang up.
  if (bytes.length >= 2 && bytes[0] === SOCKS5 && bytes[1] !== SocksReply.Succeeded) {
    return { reply: bytes[1] ?? SocksReply.Failure, length: bytes.length };
  }
  const parsed = parseAddressed(bytes);
  return parsed === undefined ? undefined : { reply: parsed.code, length: parsed.length };
}

/** Another proxy's choice of method, or its word on a login: two bytes. Some put SOCKS's version before the latter too. */
export function parseChoice(bytes: Buffer): Parsed<{ choice: number }> {
  const [version, choice] = bytes;
  if (version !== undefined && version !== SOCKS5 && version !== LOGIN_VERSION)
    throw new SocksFormatError("not SOCKS5");
  return choice === undefined ? undefined : { choice, length: 2 };
}

/** The methods we can do. */
export function encodeGreeting(methods: readonly SocksMethod[]): Buffer {
  return Buffer.from([SOCKS5, methods.length, ...methods]);
}

/** The method a server chose. */
export function encodeMethod(method: SocksMethod): Buffer {
  return Buffer.from([SOCKS5, method]);
}

/** User and password; both at most 255 bytes. */
export function encodeLogin(username: string, password: string): Buffer {
  const name = Buffer.from(username, "utf8");
  const secret = Buffer.from(password, "utf8");
  return Buffer.concat([Buffer.from([LOGIN_VERSION, name.length]), name, Buffer.from([secret.length]), secret]);
}

/** Whether a login was accepted. */
export function encodeLoginResult(isAccepted: boolean): Buffer {
  return Buffer.from([LOGIN_VERSION, isAccepted ? 0 : 1]);
}

/** A request to connect. A name is sent as a name, so that the proxy resolves it. */
export function encodeRequest(destination: Destination): Buffer {
  return encodeAddressed(SOCKS_CONNECT, destination);
}

/** The answer to a request. The bound address is of no use to a client of CONNECT and would tell about our network. */
export function encodeReply(reply: SocksReply): Buffer {
  return encodeAddressed(reply, { host: "0.0.0.0", port: 0 });
}

function parseAddressed(bytes: Buffer): Parsed<{ code: number; address: Destination }> {
  if (bytes.length > 0 && bytes[0] !== SOCKS5) throw new SocksFormatError("not SOCKS5");
  const [, code, , type, first] = bytes;
  if (code === undefined || type === undefined) return undefined;
  const at = type === AddressType.Name ? 5 : 4;
  const size = type === AddressType.V4 ? 4 : type === AddressType.V6 ? 16 : first;
  if (type !== AddressType.V4 && type !== AddressType.V6 && type !== AddressType.Name) {
    throw new SocksFormatError(`address type ${type} is not known`, SocksReply.AddressUnsupported);
  }
  if (size === undefined || bytes.length < at + size + 2) return undefined;
  const raw = bytes.subarray(at, at + size);
  const host = type === AddressType.V4 ? [...raw].join(".") : type === AddressType.V6 ? textOfV6(raw) : hostOf(raw);
  return { code, address: { host, port: bytes.readUInt16BE(at + size) }, length: at + size + 2 };
}

function encodeAddressed(code: number, { host, port }: Destination): Buffer {
  const family = isIP(host);
  const name = Buffer.from(host, "latin1");
  const address =
    family === 4
      ? Buffer.from([AddressType.V4, ...host.split(".").map(Number)])
      : family === 6
        ? Buffer.concat([Buffer.from([AddressType.V6]), bytesOfV6(host)])
        : Buffer.concat([Buffer.from([AddressType.Name, name.length]), name]);
  const tail = Buffer.alloc(2);
  tail.writeUInt16BE(port);
  return Buffer.concat([Buffer.from([SOCKS5, code, 0]), address, tail]);
}

function hostOf(raw: Buffer): string {
  // Clients write addresses as names too, an IPv6 one with or without its brackets.
  return raw.toString("latin1").replace(/^\[(.*)\]$/s, "$1");
}

function textOfV6(raw: Buffer): string {
  const words = Array.from({ length: 8 }, (_, i) => raw.readUInt16BE(i * 2).toString(16));
  return new URL(`http://[${words.join(":")}]`).hostname.slice(1, -1);
}

function bytesOfV6(host: string): Buffer {
  const text = new URL(`http://[${host.replace(/%.*$/s, "")}]`).hostname.slice(1, -1);
  const [left = "", right] = text.split("::");
  const words = (part: string): number[] => (part === "" ? [] : part.split(":").map((w) => Number.parseInt(w, 16)));
  const first = words(left);
  const last = words(right ?? "");
  const zeros = right === undefined ? 0 : 8 - first.length - last.length;
  const bytes = Buffer.alloc(16);
  [...first, ...new Array<number>(zeros).fill(0), ...last].forEach((word, i) => {
    bytes.writeUInt16BE(word, i * 2);
  });
  return bytes;
}
