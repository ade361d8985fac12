// Bodies: whole, held back, at the same time both ways, given up, many at once.
import { createHash } from "node:crypto";
import type { Socket } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { Changes, eventually } from "../harness/deadline.ts";
import { statusOf } from "../harness/raw-client.ts";
import type { OriginConnection } from "../harness/raw-origin.ts";
import { startWorld, type World } from "../harness/world.ts";

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const MIB = 1_048_576;
/** What one side may take while the other stands still. */
const HELD_MAX = 64 * MIB;

let world: World;
beforeAll(async () => {
  world = await startWorld();
});
afterEach(() => {
  world.origin.script = undefined;
  world.origin.answer = OK;
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

/** Bytes without a period that could hide an exchange of blocks. */
function block(index: number, size: number): Buffer {
  const bytes = Buffer.alloc(size);
  for (let at = 0, state = index + 1; at + 4 <= size; at += 4) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes.writeUInt32LE(state, at);
  }
  return bytes;
}

/** Writes with backpressure until `count` bytes went in, or the socket is gone. @returns bytes that went in */
async function pour(socket: Socket, count: number, size: number = MIB): Promise<number> {
  let sent = 0;
  const changes = new Changes();
  const notify = (): void => changes.notify();
  socket.on("drain", notify).on("close", notify);
  for (let i = 0; sent < count && socket.writable; i += 1) {
    const bytes = block(i, Math.min(size, count - sent));
    sent += bytes.length;
    socket.write(bytes);
    await changes.until("room", () => !socket.writableNeedDrain || socket.destroyed, 60_000);
  }
  socket.off("drain", notify).off("close", notify);
  return sent;
}

function digestOfPour(count: number, size: number = MIB): string {
  const hash = createHash("sha256");
  for (let i = 0, sent = 0; sent < count; i += 1) {
    const bytes = block(i, Math.min(size, count - sent));
    sent += bytes.length;
    hash.update(bytes);
  }
  return hash.digest("hex");
}

/** The digest of the next `count` bytes. */
async function digestOf(reader: OriginConnection["reader"], count: number): Promise<string> {
  const hash = createHash("sha256");
  for (let left = count; left > 0; ) {
    const bytes = await reader.take(Math.min(left, MIB), 30_000);
    if (bytes.length === 0) break;
    left -= bytes.length;
    hash.update(bytes);
  }
  return hash.digest("hex");
}

describe("100 MB", () => {
  const SIZE = 100_000_000;
  const expected = digestOfPour(SIZE);

  it("come down whole", async () => {
    world.origin.script = async (connection) => {
      connection.write(`HTTP/1.1 200 OK\r\nContent-Length: ${SIZE}\r\n\r\n`);
      await pour(connection.socket, SIZE);
    };
    const visitor = await world.visit(world.head("GET / HTTP/1.1"));
    await visitor.head();
    expect(await digestOf(visitor.reader, SIZE)).toBe(expected);
  });

  it("go up whole", async () => {
    let digest = "";
    world.origin.script = async (connection) => {
      digest = await digestOf(connection.reader, SIZE);
      connection.write(OK);
    };
    const visitor = await world.visit(world.head("POST / HTTP/1.1", `Content-Length: ${SIZE}`));
    await pour(visitor.socket, SIZE);
    expect((await visitor.answer("GET", 30_000))?.status).toBe(200);
    expect(digest).toBe(expected);
  });
});

describe("many at once", () => {
  it("200 requests of all kinds are not mixed up", async () => {
    world.origin.answer = (request) => {
      const hash = createHash("sha256").update(request.bytes).digest("hex");
      const body = `${request.method} ${request.target} ${hash} ${"y".repeat(Number(request.target.slice(1)) * 37)}`;
      return Number(request.target.slice(1)) % 2 === 0
        ? `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`
        : `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
    };
    const one = async (i: number): Promise<void> => {
      const body = block(i, (i * 997) % 40_000);
      const method = i % 3 === 0 ? "GET" : "POST";
      const head = world.head(
        `${method} /${i} HTTP/1.1`,
        ...(method === "POST" ? [`Content-Length: ${body.length}`] : []),
      );
      const sent = method === "POST" ? body : Buffer.alloc(0);
      const answer = await world.ask(Buffer.concat([Buffer.from(head), sent]));
      const hash = createHash("sha256").update(sent).digest("hex");
      expect(answer.bytes.toString()).toBe(`${method} /${i} ${hash} ${"y".repeat(i * 37)}`);
    };
    await Promise.all(Array.from({ length: 200 }, (_, i) => one(i)));
  });

  it("twenty in turn on one connection keep in step, bodies of 1,025 bytes included", async () => {
    const before = world.origin.requests.length;
    const visitor = await world.visit();
    for (let i = 0; i < 20; i += 1) {
      const body = block(i, 1_025);
      visitor.send(world.head(`POST /${i} HTTP/1.1`, "Content-Length: 1025"));
      visitor.send(body);
      expect((await visitor.answer())?.status).toBe(200);
      expect(world.origin.requests[before + i]?.target).toBe(`/${i}`);
      expect(world.origin.requests[before + i]?.bytes.equals(body)).toBe(true);
    }
  });
});

describe("a stream", () => {
  it("brings each event by itself, before the next is written", async () => {
    let app: OriginConnection | undefined;
    world.origin.script = (connection) => {
      app = connection;
      connection.write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
    };
    const visitor = await world.visit(world.head("GET / HTTP/1.1"));
    expect((await visitor.head())?.startLine).toBe("HTTP/1.1 200 OK");
    for (let i = 0; i < 50; i += 1) {
      const event = `data: ${i}\n\n`;
      const startedAt = performance.now();
      app?.write(`${event.length.toString(16)}\r\n${event}\r\n`);
      expect((await visitor.reader.through(`${event}\r\n`))?.toString()).toContain(event);
      // Ten times what is aimed at: the machine may be busy with other things.
      expect(performance.now() - startedAt).toBeLessThan(600);
    }
    app?.write("0\r\n\r\n");
    expect((await visitor.reader.through("0\r\n\r\n"))?.toString()).toBe("0\r\n\r\n");
  });

  it("shows the app the head before the first byte of the body", async () => {
    const changes = new Changes();
    let target = "";
    world.origin.script = async (connection, head) => {
      target = head.startLine;
      changes.notify();
      await connection.reader.body(head, "request");
      connection.write(OK);
    };
    const visitor = await world.visit(world.head("POST /early HTTP/1.1", "Content-Length: 2"));
    await changes.until("the head at the app", () => target !== "");
    visitor.send("hi");
    expect((await visitor.answer())?.status).toBe(200);
  });

  it.each([
    ["chunks", "Transfer-Encoding: chunked", (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`],
    ["a length", "Content-Length: 60", (text: string) => text],
  ])("goes both ways at the same time for 20 rounds, with %s", async (_name, line, frame) => {
    world.origin.script = async (connection) => {
      connection.write(`HTTP/1.1 200 OK\r\n${line}\r\n\r\n`);
      for (let i = 0; i < 20; i += 1) {
        const text = `${String(i).padStart(2, "0")}.`;
        await connection.reader.through(text);
        connection.write(frame(text));
      }
      if (line.startsWith("T")) connection.write("0\r\n\r\n");
    };
    const visitor = await world.visit(world.head("POST /echo HTTP/1.1", line));
    const head = await visitor.head();
    expect(head && statusOf(head)).toBe(200);
    for (let i = 0; i < 20; i += 1) {
      const text = `${String(i).padStart(2, "0")}.`;
      visitor.send(frame(text));
      expect((await visitor.reader.through(text))?.toString()).toContain(text);
    }
  });
});

describe("a side that stands still", () => {
  const SIZE = 600 * MIB;

  /** Waits until a count stops to grow, which no event tells. */
  async function settled(count: () => number): Promise<number> {
    let last = -1;
    let same = 0;
    await eventually(
      () => `${count()} bytes to be all`,
      () => {
        same = count() === last && last > 0 ? same + 1 : 0;
        last = count();
        return same >= 25;
      },
    );
    return last;
  }

  it("as reader of a download of 600 MiB holds the app back", async () => {
    let app: OriginConnection | undefined;
    let before = 0;
    world.origin.script = async (connection) => {
      app = connection;
      before = connection.socket.bytesWritten;
      connection.write(`HTTP/1.1 200 OK\r\nContent-Length: ${SIZE}\r\n\r\n`);
      await pour(connection.socket, SIZE);
    };
    const visitor = await world.visit(world.head("GET / HTTP/1.1"));
    await visitor.head();
    visitor.socket.pause();
    const taken = await settled(() => (app?.socket.bytesWritten ?? before) - before);
    expect(taken).toBeLessThan(HELD_MAX);
    await world.expectGood();
    visitor.reset();
  });

  it("as app within an upload of 600 MiB holds the visitor back", async () => {
    let app: OriginConnection | undefined;
    world.origin.script = (connection) => {
      app = connection;
      connection.socket.pause();
      return new Promise(() => {});
    };
    const visitor = await world.visit(world.head("POST / HTTP/1.1", `Content-Length: ${SIZE}`));
    const poured = pour(visitor.socket, SIZE);
    const taken = await settled(() => visitor.socket.bytesWritten);
    expect(taken).toBeLessThan(HELD_MAX);
    await world.expectGood();
    app?.reset();
    visitor.reset();
    expect(await poured).toBeLessThan(SIZE);
  });
});

describe("an answer before the end of the upload", () => {
  it.each(["stops reading", "closes", "resets behind it"])("is delivered when the app then %s", async (what) => {
    world.origin.script = (connection) => {
      connection.socket.pause();
      const close = what === "stops reading" ? "" : "Connection: close\r\n";
      const text = `HTTP/1.1 413 Content Too Large\r\n${close}Content-Length: 3\r\n\r\nbig`;
      if (what === "closes") connection.end(text);
      else
        connection.socket.write(text, () => {
          if (what === "resets behind it") setImmediate(() => connection.socket.destroySoon());
        });
    };
    const visitor = await world.visit(world.head("POST / HTTP/1.1", `Content-Length: ${50 * MIB}`));
    const poured = pour(visitor.socket, 50 * MIB);
    const answer = await visitor.answer();
    expect(answer?.status).toBe(413);
    expect(answer?.bytes.toString()).toBe("big");
    visitor.reset();
    await poured;
    await world.expectGood();
  });
});

describe("a visitor who leaves", () => {
  it.each<[string, string[], string]>([
    ["in waiting", ["GET / HTTP/1.1"], ""],
    ["in an upload with a length", ["POST / HTTP/1.1", "Content-Length: 100"], "part"],
    ["in an upload in chunks", ["POST / HTTP/1.1", "Transfer-Encoding: chunked"], "4\r\npart\r\n"],
  ])("%s is told to the app, which never sees a whole body", async (_name, [start = "", ...lines], body) => {
    for (const how of ["rst", "destroy"]) {
      const changes = new Changes();
      let app: OriginConnection | undefined;
      world.origin.script = (connection) => {
        app = connection;
        changes.notify();
        return new Promise(() => {});
      };
      const visitor = await world.visit(world.head(start, ...lines) + body);
      await changes.until("the request at the app", () => app !== undefined);
      const connection = app;
      if (connection === undefined) throw new Error("unreachable");
      if (body !== "") await connection.reader.through("part");
      if (how === "rst") visitor.reset();
      else visitor.socket.destroy();
      await connection.reader.ended(2_500);
      expect(connection.reader.pending.toString("latin1")).not.toContain("0\r\n\r\n");
    }
    await world.expectGood();
  });

  it("in a download is told to the app", async () => {
    let app: OriginConnection | undefined;
    world.origin.script = async (connection) => {
      app = connection;
      connection.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n");
      await new Promise(() => {});
    };
    const visitor = await world.visit(world.head("GET / HTTP/1.1"));
    await visitor.reader.through("part");
    visitor.reset();
    expect(await app?.reader.ended(2_500)).not.toBe("open");
    await world.expectGood();
  });
});
