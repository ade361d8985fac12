import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { within } from "../harness/deadline.ts";
import { freePort } from "./cli-world.ts";
import { EventReader, InspectorWorld } from "./inspector-world.ts";

describe("what is said of an exchange", () => {
  let world: InspectorWorld;
  beforeAll(async () => {
    world = await InspectorWorld.start(["--timeout", "1s"]);
  });
  afterAll(() => world[Symbol.asyncDispose]());

  it("names an app that ends its connection, with the part of the answer that came", async () => {
    world.origin.script = (connection) => {
      connection.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf!");
      connection.end();
    };
    await using visitor = await world.visit(world.head("GET /reset HTTP/1.1"));
    await visitor.ended();
    const seen = await world.exchange("path=/reset");
    expect(seen).toMatchObject({ outcome: "app-reset", error: "ERR_GGROK_UPSTREAM_RESET" });
    expect(seen.response.body).toMatchObject({ size: 5, stored: true, partial: true });
    expect((await world.api(`${seen.uri}/response-body`)).bytes.toString()).toBe("half!");
  });

  it("names an app that is silent for too long, under the id the visitor was told", async () => {
    world.origin.script = async (connection, head) => void (await connection.reader.body(head, "request"));
    await using visitor = await world.visit(world.head("POST /late HTTP/1.1", "Content-Length: 2") + "hi");
    const answer = await visitor.answer();
    expect(answer?.status).toBe(504);
    const seen = await world.exchange("path=/late");
    expect(seen).toMatchObject({ outcome: "timed-out", error: "ERR_GGROK_UPSTREAM_TIMEOUT", response: null });
    expect(seen.request.body).toMatchObject({ size: 2, stored: true });
    expect(answer?.bytes.toString()).toContain(seen.id);
  });

  it("names a visitor who leaves, and does not offer half a body for a replay", async () => {
    const reached = Promise.withResolvers<void>();
    world.origin.script = async ({ reader }) => {
      await reader.take("only this".length);
      reached.resolve();
      await reader.ended();
    };
    await using visitor = await world.visit(`${world.head("POST /left HTTP/1.1", "Content-Length: 1000")}only this`);
    await within("the app to have it", reached.promise);
    visitor.reset();
    const seen = await world.exchange("path=/left");
    expect(seen).toMatchObject({ outcome: "visitor-left", replayable: false });
    expect(seen.request.body).toMatchObject({ size: 9, partial: true });
  });

  it("shows a request whose answer is long in coming, with its body, and then the answer", async () => {
    await using patient = await InspectorWorld.start();
    const answer = Promise.withResolvers<void>();
    patient.origin.script = async (connection, head) => {
      await connection.reader.body(head, "request");
      await answer.promise;
      connection.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone");
    };
    await using visitor = await patient.visit(patient.head("POST /hangs HTTP/1.1", "Content-Length: 5") + "hello");
    const waiting = await patient.exchange("path=/hangs", ({ outcome }) => outcome === "open");
    expect(waiting).toMatchObject({ response: null, replayable: true, request: { body: { size: 5, stored: true } } });
    expect((await patient.api(`${waiting.uri}/request-body`)).bytes.toString()).toBe("hello");
    answer.resolve();
    expect((await visitor.answer())?.status).toBe(200);
    const ended = await patient.exchange("path=/hangs");
    expect(ended).toMatchObject({ id: waiting.id, seq: waiting.seq, outcome: "complete" });
    expect((await patient.api(`${ended.uri}/response-body`)).bytes.toString()).toBe("done");
  });

  it("names an app that does not listen", async () => {
    await using gone = await InspectorWorld.start([], await freePort());
    await gone.ask(gone.head("GET /refused HTTP/1.1"));
    expect(await gone.exchange("path=/refused")).toMatchObject({
      outcome: "refused",
      error: "ERR_GGROK_UPSTREAM_REFUSED",
      response: null,
      replayable: true,
    });
  });

  it("says when things happened, in their order", async () => {
    world.origin.script = undefined;
    const before = Date.now();
    await world.ask(world.head("GET /timed HTTP/1.1"));
    const { timings, duration } = await world.exchange("path=/timed");
    expect(timings.received_at).toBeGreaterThanOrEqual(before);
    expect(timings.received_at).toBeLessThanOrEqual(Date.now());
    expect(timings.first_byte_to_app_ms).toBeLessThanOrEqual(timings.first_byte_from_app_ms);
    expect(timings.first_byte_from_app_ms).toBeLessThanOrEqual(timings.end_ms);
    expect(duration).toBeCloseTo(timings.end_ms * 1e6, -1);
  });

  it("shows events of a stream while it is open, each as it was sent", async () => {
    let send: (text: string) => void = () => {};
    world.origin.script = (connection) => {
      connection.write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n");
      send = (text) => connection.write(text);
      return once(connection.socket, "close").then(() => {});
    };
    await using visitor = await world.visit(world.head("GET /events HTTP/1.1"));
    await visitor.head();
    using reader = await EventReader.open(world.web);
    const open = await world.exchange("path=/events", () => true);
    expect(open).toMatchObject({ kind: "sse", outcome: "open" });
    send("event: a\ndata: 1\n\nda");
    send("ta: two\n\n");
    await reader.until("two events", () =>
      reader.of("message").some(({ data }) => data.id === open.id && data.n === 2),
    );
    const { messages } = (await world.api(`${open.uri}/messages`)).json;
    expect(messages.map((m: { data: string }) => Buffer.from(m.data, "base64").toString())).toEqual([
      "event: a\ndata: 1",
      "data: two",
    ]);
    expect(messages[0]).toMatchObject({ n: 1, direction: "out", opcode: "event", whole: true });
    for (const { socket } of world.origin.connections) socket.end();
    const ended = await world.exchange("path=/events");
    expect(ended).toMatchObject({ kind: "sse", outcome: "complete", messages: 2, id: open.id });
    world.origin.script = undefined;
  });

  it("counts the bytes of an upgrade it does not know", async () => {
    world.origin.script = async (connection) => {
      connection.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: parrot\r\n\r\n");
      connection.write(await connection.reader.take(5));
      connection.end();
    };
    await using visitor = await world.visit(
      world.head("GET /parrot HTTP/1.1", "Connection: Upgrade", "Upgrade: parrot") + "hello",
    );
    await visitor.answer();
    await visitor.reader.take(5);
    visitor.finish();
    const seen = await world.exchange("path=/parrot");
    expect(seen).toMatchObject({ kind: "upgrade", replayable: false });
    expect([seen.request.body.size, seen.response.body.size]).toEqual([5, 5]);
    expect(seen.request.body.stored).toBe(false);
    world.origin.script = undefined;
  });
});

describe.each([
  ["as they are", false],
  ["compressed", true],
])("a WebSocket's messages %s", (_what, isCompressed) => {
  it("are kept with direction, opcode, size and content, once each, in order", async () => {
    const http = createServer();
    const server = new WebSocketServer({ server: http, perMessageDeflate: isCompressed ? { threshold: 0 } : false });
    server.on("connection", (socket) =>
      socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary })),
    );
    http.listen(0, "127.0.0.1");
    await once(http, "listening");
    const { port } = http.address() as AddressInfo;
    await using world = await InspectorWorld.start([], port);
    const client = new WebSocket(`ws://127.0.0.1:${world.relay.port}/chat`, {
      headers: { host: world.host },
      perMessageDeflate: isCompressed ? { threshold: 0 } : false,
    });
    await once(client, "open");
    const sent: [Buffer, boolean][] = [
      [Buffer.from("grüße"), false],
      [Buffer.from([0, 255, 1]), true],
      [Buffer.alloc(100_000, "ab"), false],
      [Buffer.alloc(0), true],
    ];
    for (const [data, isBinary] of sent) {
      client.send(data, { binary: isBinary });
      await once(client, "message");
    }
    client.ping("are you there");
    await once(client, "pong");
    client.close(4_001, "enough");
    await once(client, "close");
    const seen = await world.exchange("path=/chat");
    expect(seen).toMatchObject({ kind: "websocket", outcome: "complete", response: { status_code: 101 } });
    const { messages } = (await world.api(`${seen.uri}/messages`)).json;
    const expected = sent.flatMap(([data, isBinary]) =>
      ["in", "out"].map((direction) => ({
        direction,
        opcode: isBinary ? "binary" : "text",
        size: data.length,
        data: data.toString("base64"),
        whole: true,
      })),
    );
    expect(messages.slice(0, 8)).toMatchObject(expected);
    expect(messages.slice(8).map((m: { direction: string; opcode: string }) => `${m.direction} ${m.opcode}`)).toEqual([
      "in ping",
      "out pong",
      "in close",
      "out close",
    ]);
    expect(messages.map((m: { n: number }) => m.n)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    expect(seen.messages).toBe(12);
    server.close();
    http.close();
  });
});
