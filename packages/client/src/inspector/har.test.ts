import { hash } from "node:crypto";
import { gzipSync } from "node:zlib";
import { ERRORS } from "@ggrok/protocol";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { DraftRecord, ExchangeRecord, RecordedBody, RecordedMessage } from "./exchange-record.ts";
import { writeHar } from "./har.ts";
import { importHar } from "./har-import.ts";
import { MemoryStore } from "./memory-store.ts";

const EMPTY = Buffer.alloc(0);

describe("a HAR file", () => {
  it("gives back what was exported: duplicates, trailers, interim answers, binary bodies", async () => {
    const request = Buffer.from([0, 255, 1, 128]);
    const response = gzipSync("hello");
    const draft = draftOf(request, response, {
      replayOf: "first",
      client: "192.0.2.1",
      error: "ERR_GGROK_UPSTREAM_RESET",
      outcome: "app-reset",
      signature: { provider: "stripe", verdict: "skew", reason: "old" },
    });
    await expectSame(draft, request, response);
  });

  it("gives back any bytes and any fields", async () => {
    const byteText = fc.stringMatching(/^[\x21-\x7e\x80-\xff]{0,12}$/);
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 64 }),
        fc.uint8Array({ maxLength: 64 }),
        fc.array(fc.tuple(fc.stringMatching(/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,8}$/), byteText), { maxLength: 6 }),
        async (a, b, pairs) => {
          const [request, response] = [Buffer.from(a), Buffer.from(b)];
          const draft = draftOf(request, response);
          const fields = pairs.flat();
          const given = {
            ...draft,
            request: { ...draft.request, fields, trailers: fields },
            ...(draft.response !== undefined && { response: { ...draft.response, fields, trailers: fields } }),
          };
          await expectSame(given, request, response);
        },
      ),
      { numRuns: 60 },
    );
  });

  it("gives back an exchange without an answer, and one whose bodies were not kept", async () => {
    const { response: _none, ...unanswered } = draftOf(EMPTY, EMPTY, { outcome: "refused" });
    await expectSame(unanswered, EMPTY, EMPTY);
    const body: RecordedBody = { size: 5_000_000_000, sha256: "ab".repeat(32), isStored: false };
    const draft = draftOf(EMPTY, EMPTY);
    const absent = { ...draft, isReplayable: false, request: { ...draft.request, body } };
    await expectSame(absent, undefined, EMPTY);
  });

  it("takes what was still open when it was exported as over: failed where there was no answer", async () => {
    const { response: _none, ...waiting } = draftOf(EMPTY, EMPTY, { id: "waiting", outcome: "open" });
    const store = new MemoryStore();
    store.append(waiting, none(), []);
    store.append(draftOf(EMPTY, EMPTY, { id: "answering", outcome: "open" }), none(), []);
    const imported = new MemoryStore();
    await importHar(imported, await exportAll(store));
    expect(imported.get("waiting")).toMatchObject({ outcome: "failed", isReplayable: true });
    expect(imported.get("answering")).toMatchObject({ outcome: "complete", response: { status: 200 } });
  });

  it("gives back messages of a WebSocket, in the shape browsers write them", async () => {
    const messages: RecordedMessage[] = [
      { n: 1, direction: "in", opcode: "text", size: 2, at: 1_700_000_000_123, data: Buffer.from("hi"), isWhole: true },
      {
        n: 2,
        direction: "out",
        opcode: "binary",
        size: 9,
        at: 1_700_000_000_456,
        data: Buffer.from([0, 255]),
        isWhole: false,
      },
      {
        n: 3,
        direction: "out",
        opcode: "close",
        size: 2,
        at: 1_700_000_001_000,
        data: Buffer.from([3, 232]),
        isWhole: true,
      },
    ];
    const store = new MemoryStore();
    store.append({ ...draftOf(EMPTY, EMPTY), kind: "websocket", isReplayable: false }, none(), messages);
    const har = await exportAll(store);
    expect(har.log.entries[0]?.["_webSocketMessages"]).toMatchObject([
      { type: "send", opcode: 1, data: "hi", time: 1_700_000_000.123 },
      { type: "receive", opcode: 2, data: "AP8=" },
      { type: "receive", opcode: 8 },
    ]);
    const again = new MemoryStore();
    const { ids } = await importHar(again, har);
    expect(again.messages(ids[0] ?? "")).toEqual(messages);
  });

  it("has what HAR 1.2 asks for, and the decoded text of an encoded answer", async () => {
    const store = new MemoryStore();
    const response = gzipSync("hello");
    const draft = draftOf(Buffer.from("a=1"), response);
    store.append(draft, { request: Buffer.from("a=1"), response }, []);
    const har = await exportAll(store);
    expect(har.log).toMatchObject({ version: "1.2", creator: { name: "ggrok", version: "1.2.3" } });
    expect(har.log.entries[0]).toMatchObject({
      startedDateTime: "2023-11-14T22:13:20.000Z",
      time: 12.5,
      request: {
        method: "POST",
        url: "https://a.example/hook?x=1&y=%20",
        httpVersion: "HTTP/1.1",
        cookies: [
          { name: "a", value: "b" },
          { name: "c", value: "d=e" },
        ],
        queryString: [
          { name: "x", value: "1" },
          { name: "y", value: " " },
        ],
        postData: { mimeType: "text/plain", text: "a=1" },
        bodySize: 3,
      },
      response: {
        status: 200,
        statusText: "OK",
        cookies: [{ name: "s", value: "1" }],
        content: { size: 5, text: "hello", mimeType: "text/plain", compression: 5 - response.length },
        redirectURL: "",
      },
      cache: {},
      timings: { send: 1, wait: 9, receive: 2.5 },
    });
  });

  it("is written in the order in which things happened", async () => {
    const store = new MemoryStore();
    for (const id of ["one", "two"]) store.append({ ...draftOf(EMPTY, EMPTY), id }, none(), []);
    const har = await exportAll(store);
    expect(har.log.entries.map((entry) => (entry["_ggrok"] as { id: string }).id)).toEqual(["one", "two"]);
  });

  it("comes from a browser, with the fields of HTTP/2 and text that was decoded", async () => {
    const store = new MemoryStore();
    const { ids, imported, skipped } = await importHar(store, browserHar());
    expect({ imported, skipped }).toEqual({ imported: 1, skipped: [] });
    const record = store.get(ids[0] ?? "");
    expect(record).toMatchObject({
      tunnel: "imported",
      isImported: true,
      isReplayable: true,
      request: {
        method: "POST",
        target: "/login?next=%2F",
        fields: [
          "Host",
          "shop.example",
          "content-type",
          "application/json",
          "X-U",
          "\xe2\x82\xac",
          "Content-Length",
          "7",
        ],
        body: { size: 7 },
      },
      response: {
        status: 200,
        fields: ["content-type", "text/html", "set-cookie", "a=1", "set-cookie", "b=2", "Content-Length", "6"],
      },
      timings: {
        receivedAt: Date.parse("2024-01-01T00:00:00Z"),
        firstByteToAppMs: 2,
        firstByteFromAppMs: 5,
        endMs: 10,
      },
    });
    expect((await store.body(ids[0] ?? "", "request"))?.toString()).toBe('{"a":1}');
    expect((await store.body(ids[0] ?? "", "response"))?.toString()).toBe("<html>");
  });

  it("imports a form that has parameters only, and marks a body that is missing", async () => {
    const entry = browserHar().log.entries[0] as Record<string, object>;
    const request = { ...entry["request"], postData: { params: [{ name: "a", value: "1 2" }, { name: "b" }] } };
    const missing = { ...entry["request"], postData: undefined, bodySize: 10 };
    const store = new MemoryStore();
    const { ids } = await importHar(store, {
      log: {
        entries: [
          { ...entry, request },
          { ...entry, request: missing },
        ],
      },
    });
    expect((await store.body(ids[0] ?? "", "request"))?.toString()).toBe("a=1+2&b=");
    expect(store.get(ids[1] ?? "")).toMatchObject({
      isReplayable: false,
      request: { body: { size: 10, isStored: false } },
    });
  });

  it.each([[null], [{}], [[]], [{ log: {} }], [{ log: { entries: {} } }], ["har"]])(
    "is refused when it is none: %j",
    async (har) => {
      await expect(importHar(new MemoryStore(), har)).rejects.toMatchObject({ code: "ERR_GGROK_HAR_INVALID" });
      expect(ERRORS.ERR_GGROK_HAR_INVALID.status).toBe(400);
    },
  );

  it.each<[string, (entry: Record<string, Record<string, unknown>>) => unknown]>([
    ["no entry", () => 7],
    ["no request", ({ request: _r, ...entry }) => entry],
    ["a method that is none", (e) => ({ ...e, request: { ...e["request"], method: "GE T" } })],
    ["a URL that is none", (e) => ({ ...e, request: { ...e["request"], url: "/x" } })],
    ["a field with a NUL", (e) => ({ ...e, request: { ...e["request"], headers: [{ name: "A", value: "\0" }] } })],
    ["a name with a space", (e) => ({ ...e, response: { ...e["response"], headers: [{ name: "A B", value: "" }] } })],
    ["a status that is none", (e) => ({ ...e, response: { ...e["response"], status: 7 } })],
    ["no date", (e) => ({ ...e, startedDateTime: "yesterday" })],
    [
      "an encoding nobody knows",
      (e) => ({ ...e, response: { ...e["response"], content: { text: "x", encoding: "rot13" } } }),
    ],
  ])("leaves out an entry with its reason and takes the others: %s", async (_what, spoil) => {
    const [good] = browserHar().log.entries;
    const store = new MemoryStore();
    const { imported, skipped } = await importHar(store, { log: { entries: [spoil(good as never), good] } });
    expect(imported).toBe(1);
    expect(skipped).toEqual([{ index: 0, reason: expect.stringMatching(/.{5}/) }]);
    expect(store.stats().count).toBe(1);
  });

  it("does not take the place of an exchange with the same id", async () => {
    const store = new MemoryStore();
    const body = Buffer.from("x");
    store.append(draftOf(body, EMPTY), { request: body, response: undefined }, []);
    const har = await exportAll(store);
    const { ids } = await importHar(store, har);
    expect(ids).toEqual(["id-1~2"]);
    expect(store.get("id-1")?.isImported).toBeUndefined();
  });
});

async function expectSame(
  draft: DraftRecord,
  request: Buffer | undefined,
  response: Buffer | undefined,
): Promise<void> {
  const store = new MemoryStore();
  const record = store.append(draft, { request: request ?? undefined, response }, []);
  const again = new MemoryStore();
  const { ids, skipped } = await importHar(again, await exportAll(store));
  expect(skipped).toEqual([]);
  const back = again.get(ids[0] ?? "");
  expect(back).toEqual({ ...record, isImported: true });
  expect((await again.body("id-1", "request")) ?? EMPTY).toEqual(request ?? EMPTY);
  expect((await again.body("id-1", "response")) ?? EMPTY).toEqual(response);
}

async function exportAll(store: MemoryStore): Promise<{ log: { entries: Record<string, unknown>[] } }> {
  let text = "";
  const records: readonly ExchangeRecord[] = await store.list({ limit: 100 });
  for await (const part of writeHar(store, records, "1.2.3")) text += part;
  return JSON.parse(text);
}

function none(): { request: undefined; response: undefined } {
  return { request: undefined, response: undefined };
}

function bodyOf(bytes: Buffer): RecordedBody {
  return { size: bytes.length, sha256: hash("sha256", bytes), isStored: true };
}

function draftOf(request: Buffer, response: Buffer, more: Partial<DraftRecord> = {}): DraftRecord {
  const fields = ["Host", "a.example", "content-TYPE", "text/plain", "X-T", "1", "x-t", "\xe9", "Cookie", "a=b; c=d=e"];
  return {
    id: "id-1",
    tunnel: "web",
    url: "https://a.example",
    kind: "http",
    request: {
      method: "POST",
      target: "/hook?x=1&y=%20",
      version: "1.1",
      fields,
      trailers: ["X-Sum", "1"],
      body: bodyOf(request),
    },
    response: {
      status: 200,
      reason: "OK",
      fields: [
        "Content-Type",
        "text/plain",
        "Content-Encoding",
        response.length > 0 ? "gzip" : "identity",
        "Set-Cookie",
        "s=1; Path=/",
      ],
      trailers: ["X-End", "2"],
      informational: [{ status: 103, reason: "Early Hints", fields: ["Link", "</a>"] }],
      body: bodyOf(response),
    },
    timings: { receivedAt: 1_700_000_000_000, firstByteToAppMs: 1, firstByteFromAppMs: 10, endMs: 12.5 },
    outcome: "complete",
    isReplayable: true,
    messages: 0,
    ...more,
  };
}

function browserHar(): { log: { entries: unknown[] } } {
  return {
    log: {
      entries: [
        {
          startedDateTime: "2024-01-01T00:00:00.000Z",
          time: 10,
          request: {
            method: "POST",
            url: "https://shop.example/login?next=%2F#top",
            httpVersion: "h2",
            headers: [
              { name: ":authority", value: "shop.example" },
              { name: "content-type", value: "application/json" },
              { name: "X-U", value: "€" },
            ],
            postData: { mimeType: "application/json", text: '{"a":1}' },
          },
          response: {
            status: 200,
            statusText: "",
            headers: [
              { name: "content-type", value: "text/html" },
              { name: "content-encoding", value: "br" },
              { name: "set-cookie", value: "a=1\nb=2" },
            ],
            content: { size: 6, mimeType: "text/html", text: "<html>" },
          },
          cache: {},
          timings: { send: 2, wait: 3, receive: 5 },
        },
      ],
    },
  };
}
