import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

const CONNECT_TIMEOUT_MS = 30_000;
const CHUNK = Buffer.alloc(65_536);

/** Connects; rejects when that fails or takes too long. */
export async function openConnection(port: number): Promise<Socket> {
  const socket = connect({ port, host: "127.0.0.1", noDelay: true, allowHalfOpen: true });
  await once(socket, "connect", { signal: AbortSignal.timeout(CONNECT_TIMEOUT_MS) });
  return socket;
}

/** Says something and waits for the same number of bytes. */
export async function echoOnce(socket: Socket, message: Buffer): Promise<void> {
  let left = message.length;
  socket.write(message);
  while (left > 0) {
    const [chunk] = (await once(socket, "data", { signal: AbortSignal.timeout(CONNECT_TIMEOUT_MS) })) as [Buffer];
    left -= chunk.length;
  }
}

/** How an echo is asked for. */
export type EchoLoad = {
  readonly connections: number;
  readonly messageBytes: number;
  readonly inFlight: number;
  readonly seconds: number;
};

/**
 * Keeps `inFlight` messages on their way on each of the connections: as many as came back are sent again. Returns messages a
 * second.
 */
export async function loadEcho(port: number, load: EchoLoad): Promise<number> {
  const { connections, messageBytes, inFlight, seconds } = load;
  const sockets = await Promise.all(Array.from({ length: connections }, () => openConnection(port)));
  const block = Buffer.alloc(messageBytes * inFlight, "m");
  let messages = 0;
  let failure: Error | undefined;
  for (const socket of sockets) {
    let part = 0;
    socket.on("data", (chunk: Buffer) => {
      const bytes = part + chunk.length;
      const whole = Math.floor(bytes / messageBytes);
      part = bytes % messageBytes;
      messages += whole;
      if (whole > 0) socket.write(block.subarray(0, whole * messageBytes));
    });
    socket.on("error", (error) => {
      failure = error;
    });
    socket.on("end", () => {
      failure ??= new Error("a connection ended");
    });
    socket.write(block);
  }
  // Until windows and buffers have their size.
  await delay(300);
  const before = messages;
  const startedAt = performance.now();
  await delay(seconds * 1_000);
  const perSecond = ((messages - before) * 1_000) / (performance.now() - startedAt);
  for (const socket of sockets) socket.destroy();
  if (failure !== undefined) throw failure;
  return perSecond;
}

/** Moves so many bytes over one connection; returns megabytes a second, and throws unless all of them arrived. */
export async function moveBulk(port: number, direction: "down" | "up", bytes: number): Promise<number> {
  const socket = await openConnection(port);
  const startedAt = performance.now();
  const moved = direction === "down" ? await download(socket, bytes) : await upload(socket, bytes);
  const seconds = (performance.now() - startedAt) / 1_000;
  socket.destroy();
  if (moved !== bytes) throw new Error(`${moved} of ${bytes} bytes arrived`);
  return moved / 1e6 / seconds;
}

async function download(socket: Socket, bytes: number): Promise<number> {
  let taken = 0;
  socket.on("data", (chunk: Buffer) => {
    taken += chunk.length;
  });
  socket.end(`down ${bytes}\n`);
  await once(socket, "end");
  return taken;
}

async function upload(socket: Socket, bytes: number): Promise<number> {
  let answer = "";
  socket.on("data", (chunk: Buffer) => {
    answer += chunk.toString("latin1");
  });
  const ended = once(socket, "end");
  socket.write("up\n");
  for (let left = bytes; left > 0; left -= CHUNK.length) {
    const chunk = left < CHUNK.length ? CHUNK.subarray(0, left) : CHUNK;
    if (!socket.write(chunk)) await once(socket, "drain");
  }
  socket.end();
  await ended;
  return Number(answer);
}
