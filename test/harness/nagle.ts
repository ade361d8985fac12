import { spawn } from "node:child_process";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { Socket } from "node:net";
import { text } from "node:stream/consumers";

/** Asks the kernel about the descriptors from 3 on, which are sockets. */
const ASK =
  'use Socket qw(:DEFAULT IPPROTO_TCP TCP_NODELAY); for my $fd (3 .. 2 + $ARGV[0]) { open(my $s, "+<&=", $fd) or die; ' +
  'print unpack("i", getsockopt($s, IPPROTO_TCP, TCP_NODELAY)) ? "off\\n" : "on\\n"; }';

/** Whether Nagle's algorithm is on or off at each socket, in the kernel's own words: another process is handed them to look. */
export async function nagleOf(sockets: readonly Socket[]): Promise<string[]> {
  const child = spawn("perl", ["-e", ASK, String(sockets.length)], {
    stdio: ["ignore", "pipe", "inherit", ...sockets.map(descriptorOf)],
  });
  if (child.stdout === null) throw new Error("perl says nothing");
  return (await text(child.stdout)).trim().split("\n");
}

/** By its number: a socket that is handed over as an object is not read here any more. */
function descriptorOf(socket: Socket): number {
  const { _handle: handle } = socket as unknown as { _handle?: { fd: number } };
  if (handle === undefined || handle.fd < 0) throw new Error("the socket is closed");
  return handle.fd;
}

/** Every TCP socket that this process opens or accepts while it is there. */
export class SocketLog implements Disposable {
  readonly #sockets = new Set<Socket>();
  readonly #onSocket = (message: unknown): void => {
    const { socket } = message as { socket: Socket };
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
  };

  constructor() {
    subscribe("net.client.socket", this.#onSocket);
    subscribe("net.server.socket", this.#onSocket);
  }

  /** Those that were connected to this port from here. */
  to(port: number): Socket[] {
    return [...this.#sockets].filter((socket) => socket.remotePort === port);
  }

  /** Those that were accepted on this port. */
  at(port: number): Socket[] {
    return [...this.#sockets].filter((socket) => socket.localPort === port);
  }

  [Symbol.dispose](): void {
    unsubscribe("net.client.socket", this.#onSocket);
    unsubscribe("net.server.socket", this.#onSocket);
  }
}
