import { connect, createServer, type Socket } from "node:net";
import { fileURLToPath } from "node:url";
import type { Processes, Running } from "./processes.ts";

/**
 * A link made worse, in a process of its own: `shaper.ts delay|rate VALUE PORT` passes TCP on to a loopback port.
 * `delay` holds every byte back by VALUE ms in each direction; `rate` lets VALUE bytes a second through from the side
 * that dialled (an agent's uplink). A proxy of ours because netem needs rights that a developer's machine rarely gives.
 */
export type Shape =
  | { readonly kind: "delay"; readonly ms: number }
  | { readonly kind: "rate"; readonly bytesPerSecond: number };

/** What a long fat link holds; far above rate x round trip, so that the proxy is never the bottleneck. */
const MAX_DELAYED_BYTES = 67_108_864;
/** Small steps, or the proxy would itself add the delay that is to be measured. */
const RATE_STEP_MS = 5;

/** Start a shaped way to `port` of loopback; dial the port it gives. */
export async function startShaper(
  processes: Processes,
  shape: Shape,
  port: number,
): Promise<Running & { port: number }> {
  const value = shape.kind === "delay" ? shape.ms : shape.bytesPerSecond;
  const { found, ...running } = await processes.startUntil(
    process.execPath,
    [fileURLToPath(import.meta.url), shape.kind, String(value), String(port)],
    (line) => (JSON.parse(line) as { port: number }).port,
  );
  return { ...running, port: found };
}

function passDelayed(from: Socket, to: Socket, ms: number): void {
  const waiting: { dueAt: number; chunk: Buffer }[] = [];
  let held = 0;
  const release = (): void => {
    to.cork();
    for (let next = waiting[0]; next !== undefined && next.dueAt <= performance.now(); next = waiting[0]) {
      waiting.shift();
      held -= next.chunk.length;
      to.write(next.chunk);
    }
    to.uncork();
    if (held < MAX_DELAYED_BYTES) from.resume();
    const next = waiting[0];
    if (next !== undefined) setTimeout(release, Math.max(0, next.dueAt - performance.now()));
  };
  from.on("data", (chunk: Buffer) => {
    const isFirst = waiting.push({ dueAt: performance.now() + ms, chunk }) === 1;
    held += chunk.length;
    if (held >= MAX_DELAYED_BYTES) from.pause();
    // While something waits its timer runs already.
    if (isFirst) setTimeout(release, ms);
  });
}

function passAtRate(from: Socket, to: Socket, bytesPerSecond: number): void {
  const perStep = (bytesPerSecond * RATE_STEP_MS) / 1_000;
  let credit = 0;
  let last = performance.now();
  let held: Buffer | undefined;
  const step = (): void => {
    const now = performance.now();
    // A late timer may catch up by a few steps, or the rate would come out below what was asked for.
    credit = Math.min(credit + ((now - last) * bytesPerSecond) / 1_000, perStep * 4);
    last = now;
    while (credit >= 1) {
      held ??= (from.read() as Buffer | null) ?? undefined;
      if (held === undefined) return;
      const part = held.subarray(0, Math.floor(credit));
      held = part.length < held.length ? held.subarray(part.length) : undefined;
      credit -= part.length;
      to.write(part);
    }
  };
  const timer = setInterval(step, RATE_STEP_MS);
  from.once("close", () => clearInterval(timer));
}

function join(dialler: Socket, listener: Socket, kind: string, value: number): void {
  for (const [socket, other] of [
    [dialler, listener],
    [listener, dialler],
  ] as const) {
    socket.setNoDelay(true);
    socket.on("error", () => {});
    socket.once("close", () => other.destroy());
  }
  if (kind === "delay") {
    passDelayed(dialler, listener, value);
    passDelayed(listener, dialler, value);
  } else {
    passAtRate(dialler, listener, value);
    listener.pipe(dialler);
  }
}

if (import.meta.main) {
  const [kind = "", value, port] = process.argv.slice(2);
  const server = createServer((dialler) => join(dialler, connect(Number(port), "127.0.0.1"), kind, Number(value)));
  server.listen(0, "127.0.0.1", () => {
    const address = server.address();
    if (address !== null && typeof address === "object") console.log(JSON.stringify({ port: address.port }));
  });
}
