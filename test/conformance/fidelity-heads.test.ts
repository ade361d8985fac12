// Heads pass as they are, to the app and back, by both of the agent's ways to the app.
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { valuesOf } from "../harness/byte-reader.ts";
import type { RawAnswer } from "../harness/raw-client.ts";
import type { OriginRequest } from "../harness/raw-origin.ts";
import { startWorld, type World } from "../harness/world.ts";

let world: World;
beforeAll(async () => {
  world = await startWorld();
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

type Fields = readonly (readonly [string, string])[];

/** What the relay and the agent say of themselves, each on its own connection. */
const OWN = /^(?:connection|keep-alive|te|via|forwarded|x-forwarded-(?:for|proto|host|port)|x-request-id|host)$/iu;
/** A field that makes the agent leave its fast way. */
const SLOW_WAY = ["TE", "trailers"] as const;

const WAYS: readonly [string, Fields][] = [
  ["fast", []],
  ["full", [SLOW_WAY]],
];

function lines(fields: Fields): string {
  return fields.map(([name, value]) => `${name}: ${value}\r\n`).join("");
}

function foreign(fields: Fields): Fields {
  return fields.filter(([name]) => !OWN.test(name));
}

/** One exchange; the answer has these fields and the body `ok`. */
async function exchange(o: {
  target?: string;
  request?: Fields;
  answer?: Fields;
  status?: string;
}): Promise<{ request: OriginRequest | undefined; answer: RawAnswer }> {
  const before = world.origin.requests.length;
  world.origin.answer = `HTTP/1.1 ${o.status ?? "200 OK"}\r\n${lines(o.answer ?? [])}Content-Length: 2\r\n\r\nok`;
  const start = `GET ${o.target ?? "/"} HTTP/1.1`;
  const answer = await world.ask(`${start}\r\nHost: ${world.host}\r\n${lines(o.request ?? [])}\r\n`);
  return { request: world.origin.requests[before], answer };
}

const FIELDS: Record<string, Fields> = {
  "order, case and duplicates": [
    ["x-B", "1"],
    ["X-a", "2"],
    ["X-B", "3"],
    ["ACCEPT", "*/*"],
    ["accept", "text/html"],
  ],
  "latin1 and UTF-8 bytes": [
    ["X-Latin", "\u00fcber\u00ff\u0080"],
    ["X-Utf8", Buffer.from("日本 ü 🎉").toString("latin1")],
  ],
  "empty values": [
    ["X-Empty", ""],
    ["X-After", "1"],
    ["X-Empty", ""],
  ],
  "80 fields": Array.from({ length: 80 }, (_, i) => [`X-${i}`, `${i}`] as const),
  "values of 7 KB": [
    ["X-Long", "l".repeat(7_000)],
    ["X-Longer", "m".repeat(7_000)],
  ],
  "names of Object.prototype": ["__proto__", "constructor", "toString", "hasOwnProperty", "__proto__", "valueOf"].map(
    (name, i) => [name, `${i}`] as const,
  ),
  "several cookies": [
    ["Cookie", "a=1; b=2"],
    ["Cookie", "c=3"],
  ],
  "several Set-Cookie": [
    ["Set-Cookie", "a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT"],
    ["set-cookie", "b=2, x"],
    ["Set-Cookie", ""],
  ],
  "negotiation as it is": [
    ["Accept-Encoding", "gzip;q=0, identity"],
    ["Range", "bytes=0-1,5-"],
    ["If-Range", '"x"'],
    ["If-None-Match", 'W/"y", "z"'],
  ],
  "a content type that is none": [["Content-Type", "not a type;;"]],
  "a tab in a value": [["X-Tab", "a\tb  c"]],
  "quotes and commas": [["X-Odd", '"a, \\"b", c;d="\u00e9"']],
  "the longest allowed number": Array.from({ length: 900 }, (_, i) => [`x${i}`, ""] as const),
};

describe.each(WAYS)("by the %s way", (_way, slow) => {
  it.each(Object.entries(FIELDS))("%s reach the app", async (_name, fields) => {
    const { request, answer } = await exchange({ request: [...fields, ...slow] });
    expect(answer.status).toBe(200);
    expect(request && foreign(request.fields)).toEqual(fields);
  });

  it.each(Object.entries(FIELDS))("%s reach the visitor", async (_name, fields) => {
    const { answer } = await exchange({ request: slow, answer: fields });
    expect(answer.status).toBe(200);
    expect(foreign(answer.fields)).toEqual([...fields, ["Content-Length", "2"]]);
    expect(answer.bytes.toString()).toBe("ok");
  });

  it("adds nothing that changes what is negotiated", async () => {
    const { request } = await exchange({ request: slow });
    expect(request && foreign(request.fields)).toEqual([]);
    expect(request && valuesOf(request.fields, "host")).toEqual([world.host]);
  });

  it.each([
    "/",
    "//",
    "///x",
    "/a//b",
    "/a/../b",
    "/a/./b",
    "/..",
    "/../../etc/passwd",
    "/?",
    "/??",
    "/?b?c",
    "/?a=b&a=c&",
    "/%2D",
    "/%2d",
    "/%2F%2f",
    "/%2e%2e/x",
    "/%ff",
    "/%00",
    "/%0d%0aX-A:%20b",
    "/;p=1,2;q",
    "/:@!$&'()*+,;=",
    "/~a_b-c.d",
    "/a:80/b",
    "//x@x",
    "//evil.example/x",
    "/http://evil.example/",
    `/${"a".repeat(8_000)}`,
  ])("the target %j is unchanged", async (target) => {
    const { request, answer } = await exchange({ target, request: slow });
    expect(answer.status).toBe(200);
    expect(request?.target).toBe(target);
  });

  it.each(["/%zz", "/%", "/\u00fc", Buffer.from("/日本").toString("latin1"), '/<>"{}|\\^`', "/a#b", "/[x]"])(
    "the odd target %j is unchanged or 400",
    async (target) => {
      const before = world.origin.requests.length;
      const { answer } = await exchange({ target, request: slow });
      if (answer.status === 200) expect(world.origin.requests[before]?.target).toBe(target);
      else expect(answer.status).toBe(400);
      await world.expectGood();
    },
  );

  it("takes away what Connection names, and the other fields of one hop, both ways", async () => {
    const hop: Fields = [
      ["Connection", "X-Private, keep-alive"],
      ["X-Private", "secret"],
      ["Proxy-Connection", "keep-alive"],
      ["Proxy-Authorization", "Basic eDp5"],
      ["TE", "gzip"],
      ["X-Public", "1"],
    ];
    const { request, answer } = await exchange({
      request: [...hop, ...slow],
      answer: [
        ["Connection", "x-private"],
        ["X-Private", "secret"],
        ["Proxy-Connection", "close"],
        ["Keep-Alive", "timeout=77"],
        ["X-Public", "1"],
      ],
    });
    expect(request && foreign(request.fields)).toEqual([["X-Public", "1"]]);
    expect(foreign(answer.fields)).toEqual([
      ["X-Public", "1"],
      ["Content-Length", "2"],
    ]);
    expect(valuesOf(answer.fields, "keep-alive").join()).not.toContain("77");
  });

  it("does not let Connection take away what the relay vouches for", async () => {
    for (const name of ["X-Forwarded-For", "X-Forwarded-Host", "X-Request-Id", "Forwarded", "Host", "Via"]) {
      const { request } = await exchange({ request: [["Connection", `${name}, close`], ...slow] });
      expect(request && valuesOf(request.fields, name), name).toHaveLength(1);
    }
  });

  const token = fc
    .string({
      unit: fc.constantFrom(..."!#$%&'*+-.^_`|~019azAZ"),
      minLength: 1,
      maxLength: 20,
    })
    .map((text) => `Q${text}`);
  const value = fc
    .string({
      unit: fc.integer({ min: 0x20, max: 0xff }).map((code) => String.fromCharCode(code === 0x7f ? 9 : code)),
      maxLength: 60,
    })
    .map((text) => text.replace(/^[ \t]+|[ \t]+$/gu, ""));
  const fieldLists = fc.array(fc.tuple(token, value), { maxLength: 30 });

  it("passes any valid fields on, both ways", async () => {
    await fc.assert(
      fc.asyncProperty(fieldLists, fieldLists, async (request, answer) => {
        const seen = await exchange({ request: [...request, ...slow], answer });
        expect(seen.request && foreign(seen.request.fields)).toEqual(request);
        expect(foreign(seen.answer.fields)).toEqual([...answer, ["Content-Length", "2"]]);
      }),
      { numRuns: 60 },
    );
  });

  it("passes any valid target on", async () => {
    const target = fc
      .string({ unit: fc.constantFrom(..."/?&=%25aZ09-._~!$'()*+,;:@"), maxLength: 40 })
      .map((text) => `/${text}`);
    await fc.assert(
      fc.asyncProperty(target, async (each) => {
        expect((await exchange({ target: each, request: slow })).request?.target).toBe(each);
      }),
      { numRuns: 60 },
    );
  });

  it.each([
    "200 ",
    "200 Alles gut",
    `200 ${Buffer.from("über").toString("latin1")}`,
    "299 Odd",
    "404 Not Found",
    "599 X",
    "302 Found",
  ])("the status line %j comes as it is", async (status) => {
    const { answer } = await exchange({ status, request: slow });
    expect(answer.startLine).toBe(`HTTP/1.1 ${status}`);
  });
});

it("carries every method it takes, by its name", async () => {
  world.origin.answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
  for (const method of ["GET", "DELETE", "OPTIONS", "PATCH", "POST", "PUT", "PROPFIND", "REPORT", "PURGE", "TRACE"]) {
    const before = world.origin.requests.length;
    expect((await world.ask(world.head(`${method} /m HTTP/1.1`))).status, method).toBe(200);
    expect(world.origin.requests[before]?.method).toBe(method);
  }
});
