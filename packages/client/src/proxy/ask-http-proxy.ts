import type { Socket } from "node:net";
import { type Destination, formatAuthority } from "./destination.ts";
import { kindOfError, WayError } from "./failure.ts";
import { PROXY_LIMITS } from "./limits.ts";
import type { ProxyAddress } from "./proxy-url.ts";
import { type Parsed, readMessage } from "./read-message.ts";

/** Asks an HTTP proxy for a connection by CONNECT. The bytes behind its answer stay in the socket. */
export async function askHttpProxy(
  socket: Socket,
  to: Destination,
  proxy: ProxyAddress,
  o: { via?: string; userAgent?: string; signal: AbortSignal },
): Promise<void> {
  const authority = formatAuthority(to);
  const authorization = basicAuthorization(proxy);
  const lines = [
    `CONNECT ${authority} HTTP/1.1`,
    `Host: ${authority}`,
    ...(authorization === undefined ? [] : [`Proxy-Authorization: ${authorization}`]),
    ...(o.userAgent === undefined ? [] : [`User-Agent: ${o.userAgent}`]),
    ...(o.via === undefined ? [] : [`Via: ${o.via}`]),
  ];
  socket.write(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
  let head: string;
  try {
    ({ head } = await readMessage(socket, parseHead, PROXY_LIMITS.PROXY_ANSWER_BYTES_MAX, o.signal));
  } catch (cause) {
    const kind = kindOfError(cause, "malformed");
    throw new WayError("proxy", kind, `the proxy ${proxy.label} did not answer CONNECT: ${messageOf(cause)}`, {
      cause,
    });
  }
  judge(head, authority, proxy);
}

/** The value of Proxy-Authorization, where there is a user or a password. */
export function basicAuthorization(proxy: ProxyAddress): string | undefined {
  if (proxy.username === undefined) return undefined;
  return `Basic ${Buffer.from(`${proxy.username}:${proxy.password ?? ""}`, "utf8").toString("base64")}`;
}

/** What a 407 means, said so that the reader knows what to change. */
function describeLogin(proxy: ProxyAddress, challenges: readonly string[]): string {
  const schemes = challenges.map((value) => /^[\w-]+/.exec(value.trim())?.[0] ?? "").filter((name) => name !== "");
  if (schemes.length > 0 && !schemes.some((name) => name.toLowerCase() === "basic")) {
    const which = [...new Set(schemes)].join(", ");
    return `the proxy ${proxy.label} asks for a login by ${which} (407), and ggrok speaks Basic alone: put a local proxy that speaks ${which} in between, such as px or cntlm`;
  }
  return proxy.username === undefined
    ? `the proxy ${proxy.label} asks for a user name and password (407)`
    : `the proxy ${proxy.label} does not accept the user name and password (407)`;
}

function parseHead(bytes: Buffer): Parsed<{ head: string }> {
  const end = bytes.indexOf("\r\n\r\n");
  return end < 0 ? undefined : { head: bytes.toString("latin1", 0, end), length: end + 4 };
}

function judge(head: string, authority: string, proxy: ProxyAddress): void {
  const [statusLine = "", ...fields] = head.split("\r\n");
  const match = /^HTTP\/1\.[01] (\d{3})(?: ([^\r\n]*))?$/.exec(statusLine);
  if (match === null) {
    throw new WayError("proxy", "malformed", `${proxy.label} does not answer as an HTTP proxy does`);
  }
  const status = Number(match[1]);
  if (status >= 200 && status < 300) return;
  if (status === 407) {
    const challenges = fields.flatMap((field) => /^proxy-authenticate:(.*)$/i.exec(field)?.[1] ?? []);
    throw new WayError("proxy", "login", describeLogin(proxy, challenges));
  }
  const reason = `${status} ${match[2] ?? ""}`.trim();
  throw new WayError("proxy", "declined", `the proxy ${proxy.label} did not connect to ${authority}: ${reason}`);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
