import { createHash } from "node:crypto";
import { once } from "node:events";
import { Agent, type ClientRequest, type IncomingMessage, request } from "node:http";
import { WebSocket } from "ws";

/** Where a tunnel is reached: names under `localhost` are this machine, whatever the resolver says. */
export interface Door {
  port: number;
  host: string;
}

/** The door behind a public URL. */
export function doorOf(url: string): Door {
  const { host, port } = new URL(url);
  return { port: Number(port), host };
}

/** A finished answer. */
export interface Answer {
  status: number;
  headers: IncomingMessage["headers"];
  body: Buffer;
}

const agent = new Agent({ keepAlive: true, maxSockets: 256 });

/** Sends a request through the door and reads the whole answer; rejects when the transfer breaks. */
export async function ask(
  door: Door,
  path: string,
  o: { method?: string; body?: Buffer | string; headers?: Record<string, string>; timeoutMs?: number } = {},
): Promise<Answer> {
  const call = begin(door, path, o);
  call.end(o.body);
  const [response] = (await once(call, "response", {
    signal: AbortSignal.timeout(o.timeoutMs ?? 60_000),
  })) as [IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return { status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) };
}

/** Begins a request; the caller writes the body and ends it. */
export function begin(
  door: Door,
  path: string,
  o: { method?: string; headers?: Record<string, string>; own?: boolean; agent?: Agent } = {},
): ClientRequest {
  return request({
    host: "127.0.0.1",
    port: door.port,
    path,
    method: o.method ?? "GET",
    headers: { ...o.headers, host: door.host },
    agent: o.own === true ? false : (o.agent ?? agent),
  });
}

/** Downloads and returns the digest and the size; rejects when the transfer breaks. */
export async function download(door: Door, path: string): Promise<{ status: number; sha256: string; bytes: number }> {
  const call = begin(door, path, { own: true });
  call.end();
  const [response] = (await once(call, "response")) as [IncomingMessage];
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const chunk of response) {
    hash.update(chunk as Buffer);
    bytes += (chunk as Buffer).length;
  }
  return { status: response.statusCode ?? 0, sha256: hash.digest("hex"), bytes };
}

/** Uploads with backpressure at about so many bytes a second, in chunks that `make` gives; resolves with the answer. */
export async function upload(
  door: Door,
  path: string,
  o: { chunks: number; make(i: number): Buffer; pauseMs?: number },
): Promise<Answer> {
  const call = begin(door, path, { method: "POST", own: true });
  const answered = once(call, "response") as Promise<[IncomingMessage]>;
  answered.catch(() => {});
  for (let i = 0; i < o.chunks; i += 1) {
    if (!call.write(o.make(i))) await once(call, "drain");
    if (o.pauseMs !== undefined) await pace(o.pauseMs);
  }
  call.end();
  const [response] = await answered;
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return { status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) };
}

/** The rhythm of a load: not a wait for something to happen. */
export function pace(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

/** Opens a WebSocket through the door. */
export async function openWebSocket(door: Door, path: string, protocols: string[] = []): Promise<WebSocket> {
  const socket = new WebSocket(`ws://127.0.0.1:${door.port}${path}`, protocols, { headers: { host: door.host } });
  await once(socket, "open");
  return socket;
}

/** Destroys the sockets kept alive between requests. */
export function closeVisitors(): void {
  agent.destroy();
}
