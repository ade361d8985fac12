import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import {
  createMemoryLink,
  type HeaderList,
  type HttpOpenHead,
  type MuxStream,
  ResetCode,
  type ResponseHead,
  Session,
  type SessionHandler,
  type StreamHandler,
  type StreamReset,
} from "@ggrok/protocol";
import { expect, it } from "vitest";
import { createForwarder } from "../../packages/client/src/forward/forwarder.ts";
import { parseTarget } from "../../packages/client/src/forward/target.ts";
import { startApp, startRawApp, within } from "./forward-world.ts";

/** Relay and agent joined in memory, the agent's forwarder before a real app. */
class Tunnel implements AsyncDisposable {
  readonly relay: Session;
  readonly agent: Session;
  readonly forwarder;

  constructor(port: number) {
    this.forwarder = createForwarder({ target: parseTarget(String(port)), tunnel: "demo" });
    const base = {
      id: "s1",
      resumable: true,
      localWindow: 65_536,
      peerWindow: 65_536,
      peerMaxStreams: 16_384,
      localMaxStreams: 16_384,
      heartbeat: { intervalMs: 5_000, timeoutMs: 12_500 },
    };
    const quiet: SessionHandler = { onStream() {}, onControl() {}, onState() {}, onClosed() {} };
    this.relay = new Session({ ...base, side: "listener", handler: quiet });
    this.agent = new Session({
      ...base,
      side: "dialler",
      handler: {
        ...quiet,
        onStream: (stream, head, fin) => {
          if (head.kind !== "tcp") this.forwarder.onStream(stream, head, fin);
        },
      },
    });
    const [relayEnd, agentEnd] = createMemoryLink();
    this.relay.attach(relayEnd);
    this.agent.attach(agentEnd);
  }

  open(o: Partial<HttpOpenHead> & { body?: Buffer; isOpen?: boolean }): Visitor {
    const head: HttpOpenHead = {
      kind: o.kind ?? "http",
      bind: 1,
      requestId: "r1",
      method: o.method ?? "GET",
      target: o.target ?? "/",
      version: "1.1",
      fields: o.fields ?? ["Host", "demo.test"],
    };
    const visitor = new Visitor();
    visitor.stream = this.relay.open(head, visitor, { fin: o.body === undefined && o.isOpen !== true });
    if (o.body !== undefined) visitor.send(o.body);
    return visitor;
  }

  /** The link breaks and is replaced; what was on its way is sent again. */
  breakAndResume(): void {
    const relayReceived = this.relay.detach();
    const agentReceived = this.agent.detach();
    const [relayEnd, agentEnd] = createMemoryLink();
    this.relay.attach(relayEnd, { peerReceived: agentReceived });
    this.agent.attach(agentEnd, { peerReceived: relayReceived });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.forwarder.destroy();
    await this.forwarder.close();
    await this.agent.close(0);
    await this.relay.close(0);
  }
}

/** The relay's end of a stream: a visitor who reads all, unless told otherwise. */
class Visitor implements StreamHandler {
  stream: MuxStream | undefined;
  readonly heads: ResponseHead[] = [];
  readonly sum = createHash("sha256");
  text = "";
  bytes = 0;
  trailers: HeaderList | undefined;
  reset: StreamReset | undefined;
  isEnded = false;
  isStopped = false;
  /** Reads nothing until `read()`. */
  isStalled = false;
  #changed = Promise.withResolvers<void>();
  #rest: Buffer | undefined;

  onHead(head: ResponseHead, fin: boolean): void {
    this.heads.push(head);
    this.isEnded ||= fin;
    this.#change();
  }
  onData(chunk: Buffer, fin: boolean): boolean {
    this.sum.update(chunk);
    if (this.bytes < 1_024) this.text += chunk.toString("latin1");
    this.bytes += chunk.length;
    this.isEnded ||= fin;
    this.#change();
    return !this.isStalled;
  }
  onTrailers(fields: HeaderList): void {
    this.trailers = fields;
    this.isEnded = true;
    this.#change();
  }
  onReset(reset: StreamReset): void {
    this.reset = reset;
    this.#change();
  }
  onStopSending(): void {
    this.isStopped = true;
    this.#change();
  }
  onDrain(): void {
    const rest = this.#rest;
    this.#rest = undefined;
    if (rest !== undefined) this.send(rest);
  }

  /** Sends the body with backpressure, in chunks of 16 KiB, and ends it. */
  send(body: Buffer): void {
    for (let at = 0; at < body.length; at += 16_384) {
      if (this.isStopped) return;
      if (!this.stream?.write(body.subarray(at, at + 16_384))) {
        this.#rest = body.subarray(at + 16_384);
        return;
      }
    }
    this.stream?.end();
  }
  read(): void {
    this.isStalled = false;
    this.stream?.resume();
  }
  async until(test: () => boolean, what: string): Promise<void> {
    while (!test()) await within(this.#changed.promise, `${what}; ${this.bytes} bytes, reset ${this.reset?.code}`);
  }
  async answer(): Promise<{ status: number; bytes: number; sum: string; text: string }> {
    await this.until(() => this.isEnded || this.reset !== undefined, "the answer's end");
    if (this.reset !== undefined) throw new Error(`reset ${this.reset.code}: ${this.reset.message}`);
    return { status: this.heads.at(-1)?.status ?? 0, bytes: this.bytes, sum: this.sum.digest("hex"), text: this.text };
  }

  #change(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }
}

const sha = (data: Buffer) => createHash("sha256").update(data).digest("hex");

it("carries 32 MiB up and down at once, unchanged", async () => {
  await using app = await startApp((request, response) => request.pipe(response));
  await using tunnel = new Tunnel(app.port);
  const body = randomBytes(32 * 1024 * 1024);
  const visitor = tunnel.open({ method: "POST", fields: ["Host", "h", "Content-Length", String(body.length)], body });
  expect(await visitor.answer()).toMatchObject({ status: 200, bytes: body.length, sum: sha(body) });
});

it("keeps 200 mixed exchanges apart", async () => {
  await using app = await startApp((request, response) => {
    const sum = createHash("sha256");
    request.on("data", (chunk) => sum.update(chunk));
    request.on("end", () => response.end(`${request.method} ${request.url} ${sum.digest("hex")}`));
  });
  await using tunnel = new Tunnel(app.port);
  const visitors = Array.from({ length: 200 }, (_, i) => {
    const body = i % 2 === 0 ? undefined : randomBytes(i * 300);
    const method = body === undefined ? "GET" : "POST";
    return { visitor: tunnel.open({ method, target: `/${i}`, ...(body !== undefined && { body }) }), body, method };
  });
  for (const [i, { visitor, body, method }] of visitors.entries()) {
    expect((await visitor.answer()).text).toBe(`${method} /${i} ${sha(body ?? Buffer.alloc(0))}`);
  }
});

it("carries interim heads and trailers both ways", async () => {
  let request = "";
  await using app = await startRawApp(async (socket, received) => {
    request = await received.until("X-Up: 1\r\n\r\n");
    socket.write(
      "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Down: 2\r\n\r\n",
    );
  });
  await using tunnel = new Tunnel(app.port);
  const visitor = tunnel.open({ method: "POST", isOpen: true });
  visitor.stream?.write(Buffer.from("abc"));
  visitor.stream?.sendTrailers(["X-Up", "1"]);
  expect((await visitor.answer()).text).toBe("ok");
  expect(visitor.heads.map((head) => head.status)).toEqual([102, 103, 200]);
  expect(visitor.trailers).toEqual(["X-Down", "2"]);
  expect(request).toContain("3\r\nabc\r\n0\r\nX-Up: 1\r\n\r\n");
});

it("delivers an early answer to an upload of 50 MiB and stops the rest", async () => {
  await using app = await startApp((_request, response) => {
    response.writeHead(413, { connection: "close" }).end("too large");
  });
  await using tunnel = new Tunnel(app.port);
  const visitor = tunnel.open({ method: "POST", body: Buffer.alloc(50 * 1024 * 1024) });
  expect(await visitor.answer()).toMatchObject({ status: 413, text: "too large" });
  await visitor.until(() => visitor.isStopped, "the stop");
  expect(tunnel.agent.streamCount).toBe(0);
  expect(tunnel.relay.streamCount).toBe(0);
});

it("tells the app that the visitor left, waiting, in the answer and in the upload", async () => {
  const opened = Promise.withResolvers<void>();
  const closed: Promise<unknown>[] = [];
  let isWhole = false;
  await using app = await startApp((request, response) => {
    closed.push(once(response, "close"));
    request.on("error", () => {});
    if (request.url === "/down") response.write("abc");
    else
      request.resume().on("end", () => {
        isWhole ||= request.method === "POST";
      });
    if (closed.length === 3) opened.resolve();
  });
  await using tunnel = new Tunnel(app.port);
  const visitors = [tunnel.open({}), tunnel.open({ target: "/down" }), tunnel.open({ method: "POST", isOpen: true })];
  visitors[2]?.stream?.write(Buffer.alloc(30_000));
  await within(opened.promise, "three requests");
  for (const visitor of visitors) visitor.stream?.reset(ResetCode.VisitorLeft);
  await within(Promise.all(closed), "the app's closes");
  expect(isWhole).toBe(false);
  expect(tunnel.forwarder.openExchanges).toBe(0);
});

it("holds a slow visitor's answer at the app, not in memory", async () => {
  const total = 64 * 1024 * 1024;
  let written = 0;
  await using app = await startApp(async (_request, response) => {
    const chunk = Buffer.alloc(65_536);
    response.on("error", () => {});
    while (written < total) {
      written += chunk.length;
      if (!response.write(chunk)) await once(response, "drain");
    }
    response.end();
  });
  await using tunnel = new Tunnel(app.port);
  const visitor = tunnel.open({});
  visitor.isStalled = true;
  await visitor.until(() => visitor.bytes > 0, "the first byte");
  for (let still = 0, before = -1; still < 500; still = before === written ? still + 1 : 0, before = written) {
    await new Promise(setImmediate);
  }
  expect(written).toBeLessThan(32 * 1024 * 1024);
  visitor.read();
  expect((await visitor.answer()).bytes).toBe(total);
});

it("breaks the visitor's transfer when the app dies in the middle", async () => {
  await using app = await startRawApp(async (socket, received) => {
    await received.until("\r\n\r\n");
    socket.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nabc");
    await visitor.until(() => visitor.bytes === 3, "the first bytes");
    socket.resetAndDestroy();
  });
  await using tunnel = new Tunnel(app.port);
  const visitor = tunnel.open({});
  await visitor.until(() => visitor.reset !== undefined, "the reset");
  expect(visitor.reset?.code).toBe(ResetCode.UpstreamReset);
  expect(visitor.isEnded).toBe(false);
});

it("goes on across a broken link: a download, an upload and an upgraded connection", async () => {
  const body = randomBytes(8 * 1024 * 1024);
  await using app = await startApp((request, response) => request.pipe(response));
  app.server.on("upgrade", (_request, socket) => {
    socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
    socket.pipe(socket);
  });
  await using tunnel = new Tunnel(app.port);
  const post = tunnel.open({ method: "POST", body });
  const channel = tunnel.open({
    kind: "upgrade",
    fields: ["Host", "h", "Connection", "Upgrade", "Upgrade", "echo"],
    isOpen: true,
  });
  await channel.until(() => channel.heads.length > 0, "the switch");
  channel.send(body);
  for (let breaks = 1; breaks <= 5; breaks++) {
    const mark = breaks * 1024 * 1024;
    await post.until(() => post.bytes > mark, `${mark} bytes`);
    tunnel.breakAndResume();
  }
  expect((await post.answer()).sum).toBe(sha(body));
  expect((await channel.answer()).sum).toBe(sha(body));
});
