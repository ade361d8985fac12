import type { Socket } from "node:net";

const CARRIERS = new WeakMap<Socket, Socket>();

/** Notes the connection below an encrypted one. */
export function setCarrier(encrypted: Socket, carrier: Socket): void {
  CARRIERS.set(encrypted, carrier);
}

/** The connection as the kernel knows it: the one below an encrypted one, else the connection itself. */
export function carrierOf(socket: Socket): Socket {
  return CARRIERS.get(socket) ?? socket;
}
