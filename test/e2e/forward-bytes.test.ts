import { describe, expect, it } from "vitest";
import { ForwardWorld, startRawApp } from "./forward-world.ts";

/** The request as its app saw it, and the answer as its visitor saw it, by one of the two ways. */
async function exchange(o: { method?: string; target?: string; fields?: string[]; answer?: string; full?: boolean }) {
  let request = "";
  await using app = await startRawApp(async (socket, received) => {
    request = await received.until("\r\n\r\n");
    socket.write(Buffer.from(o.answer ?? "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "latin1"));
  });
  await using world = new ForwardWorld(app.port);
  // A hop-by-hop field, which goes no further, is all it takes to leave the fast path.
  const fields = ["Host", "demo.test", ...(o.fields ?? []), ...(o.full === true ? ["Keep-Alive", "timeout=5"] : [])];
  const visit = world.open({
    fields,
    ...(o.method !== undefined && { method: o.method }),
    ...(o.target !== undefined && { target: o.target }),
  });
  const answer = await visit.ended();
  const lines = request.split("\r\n\r\n")[0]?.split("\r\n") ?? [];
  const own = /^(host|connection):/i;
  return {
    line: lines[0],
    fields: lines.slice(1).filter((line) => !own.test(line)),
    request,
    heads: visit.heads,
    ...answer,
  };
}

const long = "v".repeat(7 * 1024);
const FIELDS: Record<string, string[]> = {
  "order, case and duplicates": [
    "x-B",
    "1",
    "X-a",
    "2",
    "X-B",
    "3",
    "x-b",
    "4",
    "accept",
    "*/*",
    "AccEPT",
    "text/html",
  ],
  "latin1 bytes and UTF-8 bytes": ["X-Latin", "\u00fcber\u00ff", "X-Utf8", Buffer.from("日本 ü").toString("latin1")],
  "empty values": ["X-Empty", "", "X-After", "1", "X-Empty", ""],
  "names of Object.prototype": [
    "__proto__",
    "a",
    "constructor",
    "b",
    "toString",
    "c",
    "__proto__",
    "d",
    "hasOwnProperty",
    "e",
  ],
  "80 fields": Array.from({ length: 160 }, (_, i) => (i % 2 === 0 ? `X-Field-${i / 2}` : `value ${i}`)),
  "values of 7 KiB": ["Cookie", long, "X-Long", long],
  "several cookies": ["Cookie", "a=1", "Cookie", "b=2; c=3"],
  "tabs and quotes": ["X-Odd", 'a\tb "c", d;e=f'],
};

describe.each([
  ["fast", false],
  ["full", true],
])("the %s path", (_name, full) => {
  it.each(Object.keys(FIELDS))("carries %s to the app", async (name) => {
    const fields = FIELDS[name] ?? [];
    const seen = await exchange({ fields, full });
    const expected = fields.flatMap((field, i) => (i % 2 === 0 ? [`${field}: ${fields[i + 1]}`] : []));
    expect(seen.fields).toEqual(expected);
  });

  it.each(Object.keys(FIELDS))("carries %s to the visitor", async (name) => {
    const fields = [...(FIELDS[name] ?? []), "Set-Cookie", "a=1", "Content-Length", "0", "set-cookie", "b=2"];
    let answer = "HTTP/1.1 200 Sehr gut\r\n";
    for (let i = 0; i < fields.length; i += 2) answer += `${fields[i]}: ${fields[i + 1]}\r\n`;
    const seen = await exchange({ full, answer: `${answer}\r\n` });
    expect(seen.heads).toEqual([{ status: 200, reason: "Sehr gut", fields }]);
    expect(seen.body).toHaveLength(0);
  });

  it.each([
    "/",
    "//",
    "//x@y/z",
    "/a/../b",
    "/./",
    "/?",
    "/?b?c",
    "/%zz",
    "/%00",
    "/%2e%2e/%2F",
    "/;a=b,c",
    "/a#b",
    '/[x]|{y}^`"<>',
    "/\u00fc\u00ff",
  ])("carries the target %s as it is", async (target) => {
    expect((await exchange({ target, full })).line).toBe(`GET ${target} HTTP/1.1`);
  });

  it("keeps the visitor's Host", async () => {
    const seen = await exchange({ full });
    expect(seen.request).toMatch(/\r\nhost: demo\.test\r\n/i);
  });

  it("removes the app's hop-by-hop fields and those its Connection names", async () => {
    const answer =
      "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\nX-End: 2\r\nProxy-Connection: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    const seen = await exchange({ full, answer });
    expect(seen.heads[0]?.fields).toEqual(["X-End", "2"]);
    expect(seen.body.toString()).toBe("ok");
  });

  it.each(["", "Not \u00fc", "a  b"])("carries the reason phrase %j", async (reason) => {
    const bytes = Buffer.from(reason, "utf8").toString("latin1");
    const seen = await exchange({ full, answer: `HTTP/1.1 404 ${bytes}\r\nContent-Length: 0\r\n\r\n` });
    expect(seen.heads[0]).toEqual({ status: 404, reason: bytes, fields: ["Content-Length", "0"] });
  });

  it("carries 102 and several 103 in order", async () => {
    const answer =
      "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\nlink: </b>\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </c>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    const seen = await exchange({ full, answer });
    expect(seen.heads.map(({ status, fields }) => [status, fields])).toEqual([
      [102, []],
      [103, ["Link", "</a>", "link", "</b>"]],
      [103, ["Link", "</c>"]],
      [200, ["Content-Length", "2"]],
    ]);
    expect(seen.body.toString()).toBe("ok");
  });

  it("passes at most 16 interim answers on", async () => {
    const answer = `${"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(40)}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok`;
    const seen = await exchange({ full, answer });
    expect(seen.heads).toHaveLength(17);
    expect(seen.status).toBe(200);
  });

  it("carries trailers", async () => {
    const answer =
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\r\n3;ext=1\r\nabc\r\n0\r\nX-Sum: \u00e9\r\nX-sum: 2\r\nX-Empty:\r\n\r\n";
    const seen = await exchange({ full, answer });
    expect(seen.heads[0]?.fields).toEqual(["X-A", "b"]);
    expect(seen.trailers).toEqual(["X-Sum", "\u00e9", "X-sum", "2", "X-Empty", ""]);
  });

  it.each([
    ["HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\nX-A: b\r\n\r\n", 200],
    ["GET", "HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n", 204],
    ["GET", "HTTP/1.1 205 Reset\r\nContent-Length: 0\r\n\r\n", 205],
    ["GET", 'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\nContent-Length: 5000\r\n\r\n', 304],
  ])("ends a %s answer without a body", async (method, answer, status) => {
    const seen = await exchange({ full, method, answer });
    expect(seen.status).toBe(status);
    expect(seen.body).toHaveLength(0);
  });

  it("keeps the fields of a HEAD answer", async () => {
    const seen = await exchange({ full, method: "HEAD", answer: "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" });
    expect(seen.heads[0]?.fields).toEqual(["Content-Length", "5000"]);
  });

  it.each(["GET", "DELETE", "OPTIONS", "TRACE"])("carries %s without a body and adds none", async (method) => {
    const seen = await exchange({ full, method, fields: ["X-A", "b"] });
    expect(seen.line).toBe(`${method} / HTTP/1.1`);
    expect(seen.fields).toEqual(["X-A: b"]);
  });
});

it.each(["PURGE", "REPORT", "MKCOL"])("carries %s without a body and adds none", async (method) => {
  expect((await exchange({ method, fields: ["X-A", "b"] })).fields).toEqual(["X-A: b"]);
});

it.each(["POST", "PUT", "PATCH", "PROPFIND", "DELETE", "GET"])(
  "adds no word of a body to a %s without one",
  async (method) => {
    for (const full of [false, true]) {
      const seen = await exchange({ method, fields: ["X-A", "b"], full });
      expect(seen.fields).toEqual(["X-A: b"]);
      expect(seen.request.endsWith("\r\n\r\n")).toBe(true);
    }
  },
);

it("passes a length of 0 on", async () => {
  const seen = await exchange({ method: "POST", fields: ["X-A", "b", "Content-Length", "0", "X-C", "d"] });
  expect(seen.fields).toEqual(["X-A: b", "Content-Length: 0", "X-C: d"]);
});

it.each(["HEAD", "POST", "GET"])("keeps the connection open behind a %s without a body", async (method) => {
  let connections = 0;
  const seen: string[] = [];
  await using app = await startRawApp(async (socket, received) => {
    connections += 1;
    for (let n = 1; ; n++) {
      seen.push((await received.until("\r\n\r\n", n)).split("\r\n\r\n")[n - 1]?.split(" ", 1)[0] ?? "");
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n${seen.at(-1) === "HEAD" ? "" : "ok"}`);
    }
  });
  await using world = new ForwardWorld(app.port);
  for (let i = 0; i < 4; i++) expect((await world.open({ method }).ended()).status).toBe(200);
  expect(seen).toEqual(Array(4).fill(method));
  expect(connections).toBe(1);
});

it("carries OPTIONS *", async () => {
  expect((await exchange({ method: "OPTIONS", target: "*" })).line).toBe("OPTIONS * HTTP/1.1");
});

it("sends an absolute form to the target, by its path", async () => {
  const seen = await exchange({ target: "http://169.254.169.254/latest?x" });
  expect(seen.line).toBe("GET /latest?x HTTP/1.1");
});

it("passes a content-encoded body and a redirect on untouched", async () => {
  const body = "\u001f\u008b\u0000\u00ff\u0001 not really gzip";
  const seen = await exchange({
    answer: `HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Encoding: gzip\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  });
  expect(seen.status).toBe(302);
  expect(seen.body.toString("latin1")).toBe(body);
});

it("gives a visitor of HTTP/1.0 without Host the target's own", async () => {
  let request = "";
  await using app = await startRawApp(async (socket, received) => {
    request = await received.until("\r\n\r\n");
    socket.write("HTTP/1.1 204 No Content\r\n\r\n");
  });
  await using world = new ForwardWorld(app.port);
  await world.open({ fields: ["X-A", "b"] }).ended();
  expect(request).toContain(`Host: localhost:${app.port}\r\n`);
});

it("refuses an answer with more than 1,000 fields", async () => {
  await using app = await startRawApp(async (socket, received) => {
    await received.until("\r\n\r\n");
    socket.write(`HTTP/1.1 200 OK\r\n${"a: b\r\n".repeat(1_001)}\r\n`);
  });
  await using world = new ForwardWorld(app.port);
  expect((await world.open({}).failed()).message).toContain("1001 fields, 1000 are allowed");
});
