import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RawOrigin } from "../harness/raw-origin.ts";
import { InspectorWorld } from "./inspector-world.ts";

describe("a replay", () => {
  let world: InspectorWorld;
  beforeAll(async () => {
    world = await InspectorWorld.start();
  });
  afterAll(() => world[Symbol.asyncDispose]());

  const odd = ["X-Twice: one", "x-TWICE: two", "X-Empty:", "X-Latin: caf\xe9", "X-Spaces: a  b", "content-TYPE: x/y"];

  async function twice(startLine: string, fields: readonly string[], body?: Buffer): Promise<[unknown, unknown]> {
    const before = world.origin.requests.length;
    const path = startLine.split(" ")[1]?.split("?")[0];
    const recorded = await world.record(world.bytes(startLine, fields, body), `path=${path}`);
    const { status, json } = await world.replay({ id: recorded.id });
    expect(status, JSON.stringify(json)).toBe(200);
    expect(json.replays).toEqual([{ id: expect.any(String), uri: expect.any(String), status_code: 200 }]);
    return [await world.origin.request(before), await world.origin.request(before + 1)];
  }

  it("is the same bytes at the app, odd fields and a binary body included", async () => {
    const body = Buffer.concat([Buffer.from([0, 255, 13, 10, 13, 10]), randomBytes(3_000)]);
    const [first, again] = await twice(
      "POST /bin?a=1&a=2&%zz HTTP/1.1",
      [...odd, `Content-Length: ${body.length}`],
      body,
    );
    expect(again).toEqual(first);
    expect((first as { bytes: Buffer }).bytes).toEqual(body);
  });

  it("is the same bytes when the body is large", async () => {
    const body = randomBytes(3_000_000);
    const [first, again] = await twice("PUT /large HTTP/1.1", [`Content-Length: ${body.length}`], body);
    expect((again as { bytes: Buffer }).bytes.equals((first as { bytes: Buffer }).bytes)).toBe(true);
    expect((again as { fields: unknown }).fields).toEqual((first as { fields: unknown }).fields);
  });

  it.each(["GET", "HEAD", "DELETE", "OPTIONS", "REPORT"])("is the same without a body: %s", async (method) => {
    world.origin.answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    const before = world.origin.requests.length;
    await world.ask(world.bytes(`${method} /bare-${method} HTTP/1.1`, odd), method);
    const recorded = await world.exchange(`path=/bare-${method}`);
    await world.replay({ id: recorded.id });
    expect(await world.origin.request(before + 1)).toEqual(await world.origin.request(before));
    world.origin.answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
  });

  it("sends a chunked body with its trailers again", async () => {
    const before = world.origin.requests.length;
    const bytes = world.bytes(
      "POST /chunked HTTP/1.1",
      ["Transfer-Encoding: chunked", "Trailer: X-Sum", "TE: trailers"],
      "5\r\nhello\r\n0\r\nX-Sum: 42\r\n\r\n",
    );
    const recorded = await world.record(bytes, "path=/chunked");
    await world.replay({ id: recorded.id });
    const [first, again] = [await world.origin.request(before), await world.origin.request(before + 1)];
    expect(again.bytes.toString()).toBe("hello");
    expect(again.trailers).toEqual([["X-Sum", "42"]]);
    expect(again.fields).toEqual(first.fields);
  });

  it("is recorded as an exchange of its own that names the first", async () => {
    const recorded = await world.record(world.bytes("GET /linked HTTP/1.1", []), "path=/linked");
    const { json } = await world.replay({ id: recorded.id });
    const again = await world.exchange("path=/linked");
    expect(again).toMatchObject({ id: json.replays[0].id, replay_of: recorded.id, outcome: "complete" });
    expect(again.response).toMatchObject({ status_code: 200 });
    expect(again.request.header_list).toEqual(recorded.request.header_list);
  });

  it("can be edited first: method, path, query, fields, JSON, and the length follows", async () => {
    const body = '{ "id": 12345678901234567890, "amount": 1,\n "list": [1, {"a": "b"}] }';
    const bytes = world.bytes(
      "POST /edit?page=1&keep=%20x HTTP/1.1",
      ["X-A: 1", `Content-Length: ${body.length}`],
      body,
    );
    const recorded = await world.record(bytes, "path=/edit");
    const before = world.origin.requests.length;
    const { json } = await world.replay({
      id: recorded.id,
      edit: {
        method: "PATCH",
        query: { page: "2 & 3", new: "y" },
        set_headers: { "x-a": "2", "X-New": "n" },
        json: { amount: 1000, "list[1].a": { c: null } },
      },
    });
    expect(json.replays[0].status_code).toBe(200);
    const request = await world.origin.request(before);
    const edited = '{ "id": 12345678901234567890, "amount": 1000,\n "list": [1, {"a": {"c":null}}] }';
    expect(request).toMatchObject({ method: "PATCH", target: "/edit?page=2%20%26%203&keep=%20x&new=y" });
    expect(request.bytes.toString()).toBe(edited);
    const fields = request.fields.map(([name, value]) => `${name}: ${value}`);
    expect(fields).toEqual(expect.arrayContaining(["X-A: 2", "X-New: n", `Content-Length: ${edited.length}`]));
  });

  it.each<[string, Record<string, unknown>]>([
    ["a field with a line end", { set_headers: { "X-A": "1\r\nX-B: 2" } }],
    ["a name that is none", { set_headers: { "X A": "1" } }],
    ["a method that is none", { method: "GE T" }],
    ["a target with a space", { target: "/a b" }],
    ["a target that is no path", { target: "a" }],
    ["a field without a value", { header_list: ["Host"] }],
    ["two hosts", { header_list: ["Host", "a", "Host", "b"] }],
    ["a length that is wrong", { set_headers: { "Content-Length": "7" }, body_base64: "aGVsbG8=" }],
    ["Transfer-Encoding", { set_headers: { "Transfer-Encoding": "chunked" } }],
    ["JSON of what is none", { json: { a: 1 } }],
    ["a member nobody knows", { colour: "red" }],
    ["base64 that is none", { body_base64: "%%%" }],
  ])("refuses an edit that makes no request of it: %s", async (_what, edit) => {
    const recorded = await world.record(
      world.bytes("POST /invalid HTTP/1.1", ["Content-Length: 2"], "ok"),
      "path=/invalid",
    );
    const before = world.origin.requests.length;
    const { status, json } = await world.replay({ id: recorded.id, edit });
    expect({ status, code: json.error_code }).toEqual({ status: 400, code: "ERR_GGROK_EDIT_INVALID" });
    expect(world.origin.requests.length).toBe(before);
  });

  it("is sent as often as asked", async () => {
    const recorded = await world.record(world.bytes("GET /often HTTP/1.1", []), "path=/often");
    const before = world.origin.requests.length;
    const { json } = await world.replay({ id: recorded.id, times: 5 });
    expect(json.replays.map((replay: { status_code: number }) => replay.status_code)).toEqual([
      200, 200, 200, 200, 200,
    ]);
    expect(world.origin.requests.length).toBe(before + 5);
    expect((await world.replay({ id: recorded.id, times: 101 })).json.error_code).toBe("ERR_GGROK_API_REQUEST_INVALID");
  });

  it("goes to another app when it is told to, and is recorded", async () => {
    await using other = await RawOrigin.start();
    const recorded = await world.record(
      world.bytes("POST /other HTTP/1.1", ["Content-Length: 2"], "hi"),
      "path=/other",
    );
    const { json } = await world.replay({ id: recorded.id, to: `http://127.0.0.1:${other.port}/base` });
    expect(json.replays[0].status_code).toBe(200);
    expect(await other.request(0)).toMatchObject({ method: "POST", target: "/base/other" });
    expect((await world.exchange("path=/other")).replay_of).toBe(recorded.id);
    for (const to of ["file:///etc", "unix:/run/x.sock", "ftp://x", "http://u:p@localhost:1"])
      expect((await world.replay({ id: recorded.id, to })).json.error_code).toBe("ERR_GGROK_EDIT_INVALID");
  });

  it("says what is wrong with an id nobody knows, and with a call that is none", async () => {
    const unknown = await world.replay({ id: "nope" });
    expect([unknown.status, unknown.json.error_code]).toEqual([404, "ERR_GGROK_EXCHANGE_UNKNOWN"]);
    const malformed = await world.post("/api/requests/http", "{");
    expect([malformed.status, malformed.json.error_code]).toEqual([400, "ERR_GGROK_API_REQUEST_INVALID"]);
    const recorded = await world.record(world.bytes("GET /one HTTP/1.1", []), "path=/one");
    const elsewhere = await world.replay({ id: recorded.id, tunnel_name: "nope" });
    expect([elsewhere.status, elsewhere.json.error_code]).toEqual([404, "ERR_GGROK_API_NOT_FOUND"]);
  });

  it("waits for an answer in pieces and takes a reset for what it is", async () => {
    const recorded = await world.record(world.bytes("GET /reset HTTP/1.1", []), "path=/reset");
    world.origin.script = (connection) => connection.reset();
    const { json } = await world.replay({ id: recorded.id });
    world.origin.script = undefined;
    expect(json.replays[0].error).toBe("ERR_GGROK_UPSTREAM_RESET");
    expect((await world.exchange("path=/reset")).outcome).toBe("app-reset");
  });
});

describe("a replay that cannot be had", () => {
  it("names the app that is down, and that its bytes are not all there", async () => {
    await using world = await InspectorWorld.start(["--redact", "password"]);
    const secret = '{"password":"x"}';
    const bytes = world.bytes("POST /secret HTTP/1.1", [`Content-Length: ${secret.length}`], secret);
    const redacted = await world.record(bytes, "path=/secret");
    const refused = await world.replay({ id: redacted.id });
    expect([refused.status, refused.json.error_code]).toEqual([409, "ERR_GGROK_EXCHANGE_NOT_REPLAYABLE"]);
    const given = await world.replay({ id: redacted.id, edit: { body_base64: Buffer.from("{}").toString("base64") } });
    expect(given.json.replays[0].status_code).toBe(200);

    const recorded = await world.record(world.bytes("GET /down HTTP/1.1", []), "path=/down");
    await world.origin[Symbol.asyncDispose]();
    const { status, json } = await world.replay({ id: recorded.id });
    expect(status).toBe(200);
    expect(json.replays).toEqual([expect.objectContaining({ error: "ERR_GGROK_UPSTREAM_REFUSED" })]);
    expect(await world.exchange("path=/down")).toMatchObject({ replay_of: recorded.id, outcome: "refused" });
  });
});
