import type { Socket } from "node:net";
import { type Destination, formatAuthority } from "./destination.ts";
import { kindOfError, SocksReply, WayError } from "./failure.ts";
import { PROXY_LIMITS } from "./limits.ts";
import type { ProxyAddress } from "./proxy-url.ts";
import { type Parsed, readMessage } from "./read-message.ts";
import { encodeGreeting, encodeLogin, encodeRequest, parseChoice, parseReply, SocksMethod } from "./socks-messages.ts";

const REPLY_TEXT: Readonly<Record<number, string>> = {
  [SocksReply.Failure]: "general failure",
  [SocksReply.NotAllowed]: "not allowed",
  [SocksReply.NetworkUnreachable]: "network unreachable",
  [SocksReply.HostUnreachable]: "host unreachable",
  [SocksReply.Refused]: "connection refused",
  [SocksReply.TtlExpired]: "timed out",
  [SocksReply.CommandUnsupported]: "command not supported",
  [SocksReply.AddressUnsupported]: "address type not supported",
};

/** Asks a SOCKS5 proxy for a connection; a name goes to it as a name. */
export async function askSocksProxy(
  socket: Socket,
  to: Destination,
  proxy: ProxyAddress,
  signal: AbortSignal,
): Promise<void> {
  const ask = async <T>(message: Buffer, parse: (bytes: Buffer) => Parsed<T>): Promise<T> => {
    socket.write(message);
    try {
      return await readMessage(socket, parse, PROXY_LIMITS.PROXY_ANSWER_BYTES_MAX, signal);
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      const kind = kindOfError(cause, "malformed");
      throw new WayError("proxy", kind, `the proxy ${proxy.label} does not answer as SOCKS5: ${why}`, { cause });
    }
  };
  const { username, password = "" } = proxy;
  const methods = username === undefined ? [SocksMethod.None] : [SocksMethod.None, SocksMethod.Login];
  const { choice } = await ask(encodeGreeting(methods), parseChoice);
  if (choice === SocksMethod.Login && username !== undefined) {
    const verdict = await ask(encodeLogin(username, password), parseChoice);
    if (verdict.choice !== 0) {
      throw new WayError("proxy", "login", `the proxy ${proxy.label} does not accept the user name and password`);
    }
  } else if (choice !== SocksMethod.None) {
    const asked = username === undefined ? "asks for a user name and password" : "accepts none of our ways to log in";
    throw new WayError("proxy", "login", `the proxy ${proxy.label} ${asked}`);
  }
  const { reply } = await ask(encodeRequest(to), parseReply);
  if (reply === SocksReply.Succeeded) return;
  const text = REPLY_TEXT[reply] ?? `reply ${reply}`;
  const message = `the proxy ${proxy.label} did not connect to ${formatAuthority(to)}: ${text}`;
  throw new WayError("proxy", "declined", message, { reply });
}
