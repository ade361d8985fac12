import type { Duplex } from "node:stream";
import { endGently } from "./answer.ts";
import type { Credentials } from "./credentials.ts";
import { type Destination, formatAuthority, isHostName } from "./destination.ts";
import { beginExchange, type OnProxyExchange } from "./exchange-log.ts";
import type { Exits } from "./exits.ts";
import { SocksReply, toGgrokError, toSocksReply } from "./failure.ts";
import { PROXY_LIMITS } from "./limits.ts";
import { type Parsed, readMessage } from "./read-message.ts";
import {
  encodeLoginResult,
  encodeMethod,
  encodeReply,
  parseGreeting,
  parseLogin,
  parseRequest,
  SOCKS_CONNECT,
  SocksFormatError,
  SocksMethod,
} from "./socks-messages.ts";
import { splice } from "./splice.ts";

/** What a SOCKS conversation needs. */
export interface SocksOptions {
  readonly credentials: Credentials;
  readonly exits: Exits;
  readonly onExchange?: OnProxyExchange;
  /** The client has said what it wants. */
  readonly onRequest: () => void;
  /** Aborts when the client takes too long to say what it wants. */
  readonly signal: AbortSignal;
}

/** Serves one SOCKS5 client to its end. Nothing is thrown. */
export async function serveSocks(socket: Duplex, o: SocksOptions): Promise<void> {
  let destination: Destination | undefined;
  try {
    destination = await converse(socket, o);
  } catch (error) {
    const reply = error instanceof SocksFormatError ? error.reply : undefined;
    endGently(socket, reply === undefined ? undefined : encodeReply(reply));
    return;
  }
  if (destination === undefined) return;
  o.onRequest();
  await connect(socket, destination, o);
}

/** From the greeting to the request. Undefined: the client has been refused. */
async function converse(socket: Duplex, o: SocksOptions): Promise<Destination | undefined> {
  const read = <T>(parse: (bytes: Buffer) => Parsed<T>): Promise<T> =>
    readMessage(socket, parse, PROXY_LIMITS.PROXY_ANSWER_BYTES_MAX, o.signal);
  const { methods } = await read(parseGreeting);
  const method = chooseMethod(methods, o.credentials.isRequired);
  if (method === SocksMethod.Unacceptable) {
    endGently(socket, encodeMethod(method));
    return undefined;
  }
  socket.write(encodeMethod(method));
  if (method === SocksMethod.Login) {
    const { username, password } = await read(parseLogin);
    const isAccepted = o.credentials.accept(username, password);
    if (!isAccepted) {
      endGently(socket, encodeLoginResult(false));
      return undefined;
    }
    socket.write(encodeLoginResult(true));
  }
  const { command, destination } = await read(parseRequest);
  if (command !== SOCKS_CONNECT) throw new SocksFormatError("only CONNECT is served", SocksReply.CommandUnsupported);
  if (destination.port === 0 || !isHostName(destination.host)) {
    throw new SocksFormatError("not a host and a port", SocksReply.Failure);
  }
  return destination;
}

function chooseMethod(offered: readonly number[], isLoginRequired: boolean): SocksMethod {
  if (!isLoginRequired && offered.includes(SocksMethod.None)) return SocksMethod.None;
  return offered.includes(SocksMethod.Login) ? SocksMethod.Login : SocksMethod.Unacceptable;
}

async function connect(socket: Duplex, destination: Destination, o: SocksOptions): Promise<void> {
  const report = beginExchange(o.onExchange, {
    protocol: "socks5",
    method: "CONNECT",
    target: formatAuthority(destination),
  });
  try {
    const upstream = await o.exits.open(destination);
    socket.write(encodeReply(SocksReply.Succeeded));
    report(await splice(socket, upstream));
  } catch (error) {
    report({ error: toGgrokError(error).code });
    endGently(socket, encodeReply(toSocksReply(error)));
  }
}
