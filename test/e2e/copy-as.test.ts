import { execFile } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { asCurl } from "../../packages/client/src/inspector/as-curl.ts";
import { asFetch } from "../../packages/client/src/inspector/as-fetch.ts";
import { asHttpie } from "../../packages/client/src/inspector/as-httpie.ts";
import type { ExchangeRecord } from "../../packages/client/src/inspector/exchange-record.ts";
import { type PortableRequest, portRequest } from "../../packages/client/src/inspector/portable-request.ts";
import { RawOrigin } from "../harness/raw-origin.ts";

const run = promisify(execFile);

interface Sent {
  readonly method: string;
  readonly target: string;
  readonly fields: readonly string[];
  readonly body?: Buffer;
}

/** Each takes half a second: one of a kind. */
const FOR_HTTPIE = [
  "a plain GET",
  "no field at all",
  "quotes in path and fields",
  "brackets and dots in the path",
  "fields twice and empty",
  "a form",
  "text with quotes and line ends",
  "text with CR, tab and ESC",
  "bytes that are no text",
  "bytes with a NUL, from a file",
  "an empty POST",
  "DELETE",
];

const seed = randomBytes(4).readUInt32LE();
const random = numbers(seed);

describe(`a request copied as a command (seed ${seed})`, () => {
  let origin: RawOrigin;
  let folder: string;
  beforeAll(async () => {
    origin = await RawOrigin.start();
    folder = mkdtempSync(join(tmpdir(), "ggrok-copy-"));
  });
  afterAll(async () => {
    rmSync(folder, { recursive: true, force: true });
    await origin[Symbol.asyncDispose]();
  });

  const TEXT = 'it\'s "quoted" $HOME `id` \\n !! é 漢字 %41\nsecond line\n\n';
  const cases: [string, Sent][] = [
    ["a plain GET", { method: "GET", target: "/a?b=c&d=%20", fields: ["Accept", "*/*", "User-Agent", "x/1"] }],
    ["no field at all", { method: "GET", target: "/", fields: [] }],
    ["brackets and dots in the path", { method: "GET", target: "/a/../b/./[1-3]{x,y}?q[]=1&q[]=2", fields: [] }],
    [
      "bytes above 0x7f in path and fields",
      { method: "GET", target: "/caf\xc3\xa9/\xff", fields: ["X-A", "\xe9", "X-B", "\xc3\xa9"] },
    ],
    [
      "quotes in path and fields",
      { method: "GET", target: '/it\'s?a="$HOME"&b=`id`', fields: ["X-Q", "'\"\\$x `y` !!"] },
    ],
    [
      "fields twice and empty",
      { method: "GET", target: "/", fields: ["X-T", "1", "x-t", "2", "X-E", "", "X-At", "@file"] },
    ],
    [
      "a form",
      {
        method: "POST",
        target: "/",
        fields: ["Content-Type", "application/x-www-form-urlencoded"],
        body: Buffer.from("a=1&b=@x"),
      },
    ],
    [
      "text with quotes and line ends",
      { method: "POST", target: "/", fields: ["Content-Type", "text/plain"], body: Buffer.from(TEXT) },
    ],
    [
      "text with CR, tab and ESC",
      { method: "PUT", target: "/", fields: ["Content-Type", "a/b"], body: Buffer.from("a\r\nb\tc\x1b[31m\x7f1") },
    ],
    [
      "a body that begins with an at sign",
      { method: "POST", target: "/", fields: [], body: Buffer.from("@/etc/passwd") },
    ],
    [
      "bytes that are no text",
      {
        method: "POST",
        target: "/",
        fields: ["Content-Type", "a/b"],
        body: Buffer.from([1, 200, 39, 92, 10, 255, 49]),
      },
    ],
    [
      "bytes with a NUL, from a file",
      { method: "POST", target: "/", fields: ["Content-Type", "a/b"], body: Buffer.from([0, 1, 0, 255, 13, 10]) },
    ],
    ["a body too large for a command", { method: "POST", target: "/", fields: [], body: Buffer.alloc(300_000, "x'") }],
    ["an empty POST", { method: "POST", target: "/", fields: ["Content-Length", "0"] }],
    [
      "a GET with a body",
      { method: "GET", target: "/", fields: ["Content-Type", "application/json"], body: Buffer.from("{}") },
    ],
    ["DELETE", { method: "DELETE", target: "/x", fields: [] }],
    ["a method of its own", { method: "M-SEARCH", target: "/x", fields: [] }],
    ["HEAD", { method: "HEAD", target: "/x", fields: [] }],
    ["the asterisk", { method: "OPTIONS", target: "*", fields: [] }],
    ...Array.from({ length: 8 }, (_, i): [string, Sent] => [`random ${i}`, randomRequest()]),
  ];

  it.each(cases)("curl sends %s", async (_what, sent) => {
    const request = await arrive(asCurl(port(sent)));
    expect(request.method).toBe(sent.method);
    expect(request.target).toBe(sent.target);
    expect(request.bytes.equals(sent.body ?? Buffer.alloc(0))).toBe(true);
    expect(relevant(request.fields)).toEqual(pairs(sent.fields));
  });

  it("curl takes a body no command can carry from the local API", async () => {
    const body = Buffer.from([0, 1, 2, 0, 255]);
    await using api = await RawOrigin.start();
    api.script = async (connection) => {
      connection.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n`);
      connection.socket.end(body);
      await connection.reader.ended();
    };
    const sent: Sent = { method: "POST", target: "/piped", fields: [], body };
    const source = { file: "none", url: `http://127.0.0.1:${api.port}/api/requests/http/x'y/request-body` };
    const request = await arrive(asCurl({ ...port(sent), bodySource: source }));
    expect(request.bytes).toEqual(body);
  });

  const forFetch = cases.filter(
    ([, { target, method, body }]) => target !== "*" && (method !== "GET" || body === undefined),
  );
  it.each(forFetch.filter(([what]) => !what.startsWith("random")))("fetch sends %s", async (_what, sent) => {
    const request = await arriveFromNode(asFetch(port(sent)));
    expect(request.method).toBe(sent.method);
    // What a URL may not have it encodes, and dots in its path are gone before it is sent.
    const written = new URL(
      sent.target.replace(/[\x80-\xff]/g, (byte) => encodeByte(byte)),
      "http://x",
    );
    expect(request.target).toBe(written.pathname + written.search);
    expect(request.bytes.equals(sent.body ?? Buffer.alloc(0))).toBe(true);
    const names = new Map(request.fields.map(([name, value]) => [name.toLowerCase(), value]));
    for (const [name, value] of pairs(sent.fields)) {
      if (name.toLowerCase() === "x-t") expect(names.get("x-t")).toBe("1, 2");
      else expect(names.get(name.toLowerCase())).toBe(value);
    }
  });

  it.each(cases.filter(([what]) => FOR_HTTPIE.includes(what)))("HTTPie sends %s", async (_what, sent) => {
    const request = await arrive(asHttpie(port(sent)));
    expect(request.method).toBe(sent.method);
    // HTTPie encodes what a URL may not have.
    expect(decodeURIComponent(request.target)).toBe(decodeURIComponent(sent.target));
    expect(request.bytes.equals(sent.body ?? Buffer.alloc(0))).toBe(true);
    // The library below HTTPie has fields of its own that no argument takes away, and an order of its own.
    const names = sent.fields.map((name) => name.toLowerCase());
    const own = relevant(request.fields).filter(([name]) => names.includes(name.toLowerCase()));
    expect(own.toSorted()).toEqual(pairs(sent.fields).toSorted());
  });

  it("fetch says that it sends no body with GET", () => {
    const sent: Sent = { method: "GET", target: "/", fields: [], body: Buffer.from("{}") };
    expect(asFetch(port(sent))).toMatch(/^\/\/ fetch sends no body with GET/);
  });

  it("leaves out what the relay and the connection put there", () => {
    const fields = [
      "Host",
      "HOST",
      "Connection",
      "close",
      "X-Forwarded-For",
      "1.2.3.4",
      "x-request-id",
      "1",
      "Via",
      "1.1 x",
      "Content-Length",
      "2",
    ];
    const request = port({ method: "POST", target: "/", fields, body: Buffer.from("ok") });
    expect(request.fields).toEqual(["Host", "HOST"]);
    for (const text of [asCurl(request), asFetch(request), asHttpie(request)])
      expect(text).not.toMatch(/Forwarded|request-id|Via/i);
  });

  it("has the path that the relay stripped", () => {
    const record = recordOf({ method: "GET", target: "/hook?a=1", fields: [] }, "https://x.example/alice");
    const at = (r: ExchangeRecord): string => portRequest(r, undefined, { file: "f" }).url;
    expect(at(record)).toBe("https://x.example/alice/hook?a=1");
    expect(at(recordOf({ method: "GET", target: "/alice/hook", fields: [] }, "https://x.example/alice"))).toBe(
      "https://x.example/alice/hook",
    );
    expect(at(recordOf({ method: "GET", target: "http://evil.example/x", fields: ["Host", "a.example:81"] }, ""))).toBe(
      "http://a.example:81/x",
    );
  });

  it("writes HTTPie's items so that no other separator comes of them", () => {
    const fields = ["X-Eq", "=1", "X-At", "@/etc/passwd", "X-E", "", "X-Q", "it's"];
    const command = asHttpie(port({ method: "POST", target: "/x", fields, body: Buffer.from('{"a":1}') }));
    expect(command.split(" \\\n  ")).toEqual([
      `http --path-as-is --ignore-stdin POST http://127.0.0.1:${origin.port}/x`,
      "User-Agent:",
      "Accept:",
      "Accept-Encoding:",
      "Content-Type:",
      "'X-Eq: =1'",
      "'X-At: @/etc/passwd'",
      "'X-E;'",
      "'X-Q:it'\\''s'",
      `--raw '{"a":1}'`,
    ]);
  });

  function port(sent: Sent): PortableRequest {
    const file = "body bytes";
    if (sent.body !== undefined) writeFileSync(join(folder, file), sent.body);
    return portRequest(recordOf(sent, `http://127.0.0.1:${origin.port}`), sent.body, { file });
  }

  async function arrive(command: string): Promise<Awaited<ReturnType<RawOrigin["request"]>>> {
    const count = origin.requests.length;
    await run("bash", ["-c", command.replace(/(^|\n|\| \\\n)curl /g, "$1curl -q -sS ")], {
      cwd: folder,
      env: cleanEnv(),
    });
    return await origin.request(count);
  }

  async function arriveFromNode(script: string): Promise<Awaited<ReturnType<RawOrigin["request"]>>> {
    const count = origin.requests.length;
    writeFileSync(join(folder, "fetch.mjs"), script);
    await run(process.execPath, ["fetch.mjs"], { cwd: folder, env: cleanEnv() });
    return await origin.request(count);
  }
});

function encodeByte(byte: string): string {
  return `%${byte.charCodeAt(0).toString(16).toUpperCase()}`;
}

function cleanEnv(): NodeJS.ProcessEnv {
  return { PATH: process.env["PATH"], HOME: tmpdir() };
}

function recordOf({ method, target, fields, body }: Sent, url: string): ExchangeRecord {
  const bytes = body ?? Buffer.alloc(0);
  return {
    id: "x",
    seq: 1,
    tunnel: "t",
    url,
    kind: "http",
    request: {
      method,
      target,
      version: "1.1",
      fields,
      trailers: [],
      body: { size: bytes.length, sha256: createHash("sha256").update(bytes).digest("hex"), isStored: true },
    },
    timings: { receivedAt: 0, endMs: 1 },
    outcome: "complete",
    isReplayable: true,
    messages: 0,
  };
}

/** The fields that are the request's own. */
function relevant(fields: readonly (readonly [string, string])[]): (readonly [string, string])[] {
  return fields.filter(([name]) => !["host", "content-length"].includes(name.toLowerCase()));
}

function pairs(fields: readonly string[]): [string, string][] {
  const list: [string, string][] = [];
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i]?.toLowerCase() !== "content-length") list.push([fields[i] ?? "", fields[i + 1] ?? ""]);
  }
  return list;
}

function randomRequest(): Sent {
  const length = Math.floor(random() * 200) + 1;
  const body = Buffer.from(Array.from({ length }, () => Math.floor(random() * 255) + 1));
  const value = Array.from({ length: 12 }, () =>
    String.fromCharCode(random() < 0.5 ? 33 + random() * 94 : 0xa1 + random() * 94),
  );
  const path = Array.from({ length: 12 }, () => String.fromCharCode(33 + Math.floor(random() * 94))).filter(
    (c) => c !== "#" && c !== "\\",
  );
  return {
    method: "POST",
    target: `/${path.join("").replaceAll("/.", "/x")}`,
    fields: ["X-Random", value.join(""), "Content-Type", "application/octet-stream"],
    body,
  };
}

/** Numbers from 0 to 1 that a seed gives again (mulberry32). */
function numbers(from: number): () => number {
  let state = from;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}
