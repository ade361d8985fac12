import type { IncomingMessage } from "node:http";
import type { TLSSocket } from "node:tls";
import { fieldsNamed } from "../auth/authenticator.ts";
import type { RelayOrigin } from "../registry/names.ts";
import { clientOf, plainAddress, schemeOf, type TrustedPeers } from "./forwarded.ts";

/** The address a request comes from, behind trusted front ends. */
export function clientOfRequest({ socket, rawHeaders }: IncomingMessage, trusted: TrustedPeers): string {
  const peer = plainAddress(socket.remoteAddress);
  if (!trusted.isTrusted(peer)) return peer;
  const chains = { for: listOf(rawHeaders, "x-forwarded-for"), forwarded: listOf(rawHeaders, "forwarded") };
  return clientOf(chains, peer, trusted);
}

/** Where whoever asks has reached the relay: the scheme is what a trusted front end says, else the connection's own. */
export function originOfRequest(req: IncomingMessage, trusted: TrustedPeers): RelayOrigin {
  const own = isEncrypted(req.socket) ? "https" : "http";
  return {
    scheme: (forwardedScheme(req, trusted) ?? own) === "https" ? "https" : "http",
    authority: (req.headers.host ?? "localhost").toLowerCase(),
  };
}

/** Whether the relay itself speaks TLS on this connection. */
export function isEncrypted(socket: object): boolean {
  return (socket as Partial<TLSSocket>).encrypted === true;
}

function forwardedScheme({ socket, rawHeaders }: IncomingMessage, trusted: TrustedPeers): string | undefined {
  const peer = plainAddress(socket.remoteAddress);
  if (!trusted.isTrusted(peer)) return undefined;
  const said = listOf(rawHeaders, "x-forwarded-proto")?.split(",", 1)[0]?.trim().toLowerCase();
  if (said !== undefined && said !== "") return said;
  const isOther = listOf(rawHeaders, "x-forwarded-for") !== undefined;
  const forwarded = isOther ? undefined : listOf(rawHeaders, "forwarded");
  return forwarded === undefined ? undefined : schemeOf(forwarded, peer, trusted);
}

/** The lines of a list field as one list; undefined when they say nothing. */
function listOf(rawHeaders: readonly string[], lowerName: string): string | undefined {
  return fieldsNamed(rawHeaders, lowerName).filter(Boolean).join(", ") || undefined;
}
