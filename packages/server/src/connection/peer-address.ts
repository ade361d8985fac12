import type { Socket } from "node:net";

/**
 * Makes a socket say that it comes from this address: a trusted front end said so by the PROXY protocol. Everything that asks a
 * socket for its peer (limits, logs, rules, forwarding fields) then means the visitor.
 */
export function setPeerAddress(socket: Socket, source: { readonly address: string; readonly port: number }): void {
  Object.defineProperty(socket, "remoteAddress", { value: source.address, configurable: true });
  Object.defineProperty(socket, "remotePort", { value: source.port, configurable: true });
}

/** Whether a front end has said where the connection comes from. */
export function hasSaidPeer(socket: Socket): boolean {
  return Object.hasOwn(socket, "remoteAddress");
}
