import { describe, expect, it } from "vitest";
import { get, startIngress } from "./ingress-world.ts";

describe("a request that can be read in two ways", () => {
  it.each([
    ["no host", "GET / HTTP/1.1\r\n\r\n"],
    ["an empty host", "GET / HTTP/1.1\r\nHost:\r\n\r\n"],
    ["two equal hosts", "GET / HTTP/1.1\r\nHost: a.test\r\nHost: a.test\r\n\r\n"],
    ["two different hosts", "GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n"],
    ["user info in the host", "GET / HTTP/1.1\r\nHost: evil@a.test\r\n\r\n"],
    ["another host in the target", "GET http://b.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n"],
    [
      "length and chunks",
      "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
    ],
    [
      "chunks and length",
      "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\nG",
    ],
    ["two lengths", "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"],
    ["a list of lengths", "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5, 6\r\n\r\nhello!"],
    ["a signed length", "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: +5\r\n\r\nhello"],
    ["another coding", "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"],
    ["chunks of HTTP/1.0", "POST / HTTP/1.0\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
    ["a space in a name", "GET / HTTP/1.1\r\nHost: a.test\r\nX y: 1\r\n\r\n"],
    ["NUL in a value", "GET / HTTP/1.1\r\nHost: a.test\r\nX: a\0b\r\n\r\n"],
    ["no colon", "GET / HTTP/1.1\r\nHost: a.test\r\nnonsense\r\n\r\n"],
    ["a TLS hello", "\u0016\u0003\u0001\u0002\u0000\u0001\u0000\u0001\u00fc\u0003\u0003"],
    ["a folded line", "GET / HTTP/1.1\r\nHost: a.test\r\nX: a\r\n b\r\n\r\n"],
    ["a byte above ASCII in a name", "GET / HTTP/1.1\r\nHost: a.test\r\nX\u00e9: 1\r\n\r\n"],
    ["NUL in a name", "GET / HTTP/1.1\r\nHost: a.test\r\nX\0: 1\r\n\r\n"],
    ["an empty name", "GET / HTTP/1.1\r\nHost: a.test\r\n: 1\r\n\r\n"],
    ["a space before the first field", "GET / HTTP/1.1\r\n Host: a.test\r\n\r\n"],
    ["CR without LF at the end of the head", "GET / HTTP/1.1\r\nHost: a.test\r\n\rX"],
    ["bare line feeds", "GET / HTTP/1.1\nHost: a.test\n\n"],
    ["4 KB of noise", "\u0001\u00ff\u0080x".repeat(1_024)],
    ["an unknown method", "FOOBAR / HTTP/1.1\r\nHost: a.test\r\n\r\n"],
  ])("is refused and closes the connection: %s", async (_what, text) => {
    await using world = await startIngress();
    const visitor = await world.visit(text);
    const answer = await visitor.untilClosed();
    expect(answer).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n[\s\S]*ggrok-error: ERR_GGROK_REQUEST_MALFORMED\r\n/u);
    expect(answer.match(/HTTP\/1\.1 /gu)).toHaveLength(1);
    expect(world.exchanges).toHaveLength(0);
    const next = await world.visit(get());
    await next.until("0\r\n\r\n");
  });

  it("takes nothing with it that is pipelined behind", async () => {
    await using world = await startIngress();
    const visitor = await world.visit(`GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n${get("/smuggled")}`);
    expect(await visitor.untilClosed()).toMatch(/^HTTP\/1\.1 400 /u);
    expect(world.exchanges).toHaveLength(0);
  });

  it("does not spoil the answer before it on the connection", async () => {
    await using world = await startIngress();
    world.app = () => {};
    const visitor = await world.visit(`${get()}garbage\r\n\r\n`);
    expect(await visitor.untilClosed()).toBe("");
    expect(world.ingress.openExchanges).toBe(0);
  });

  it("is answered in its place when its body turns out broken", async () => {
    await using world = await startIngress();
    world.app = () => {};
    const visitor = await world.visit(
      "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n",
    );
    expect(await visitor.untilClosed()).toMatch(/^HTTP\/1\.1 400 /u);
    const exchange = await world.exchange(0);
    await exchange.untilReset();
    expect(exchange.hasEnded).toBe(false);
  });
});

describe("a request that is too large", () => {
  it.each([
    ["target", get(`/${"x".repeat(17_000)}`), 414, "REQUEST_URI_TOO_LONG"],
    ["field", get("/", `X: ${"x".repeat(40_000)}\r\n`), 431, "REQUEST_HEADERS_TOO_LARGE"],
    ["number of fields", get("/", "a:b\r\n".repeat(1_500)), 431, "REQUEST_HEADERS_TOO_LARGE"],
    [
      "head without end",
      `GET / HTTP/1.1\r\nHost: a.test\r\n${"X: y\r\n".repeat(300_000)}`,
      431,
      "REQUEST_HEADERS_TOO_LARGE",
    ],
  ])("is refused for its %s", async (_what, text, status, code) => {
    await using world = await startIngress();
    const visitor = await world.visit(text);
    const answer = await visitor.untilClosed();
    expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} [\\s\\S]*ERR_GGROK_${code}`, "u"));
    expect(world.exchanges).toHaveLength(0);
  });
});

describe("what is no HTTP/1 request at all", () => {
  it.each([
    ["the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
    ["HTTP/0.9", "GET /\r\n\r\n"],
    ["a version to come", "GET / HTTP/3.0\r\nHost: a.test\r\n\r\n"],
  ])("ends its connection: %s", async (_what, text) => {
    await using world = await startIngress();
    const visitor = await world.visit(text);
    await visitor.untilClosed();
    expect(world.exchanges).toHaveLength(0);
  });
});

describe("chunks with extensions", () => {
  it("are refused when these go on and on", async () => {
    await using world = await startIngress();
    world.app = () => {};
    const visitor = await world.visit(
      `POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n1;${"x".repeat(262_144)}\r\na\r\n`,
    );
    expect(await visitor.untilClosed()).toMatch(/^HTTP\/1\.1 413 /u);
  });

  it("are taken when these are short", async () => {
    await using world = await startIngress();
    world.app = (exchange) => void exchange.untilEnded().then((body) => exchange.answer(200, [], body));
    const visitor = await world.visit(
      `POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n${"1;a=bcdefghijkl\r\nx\r\n".repeat(1_000)}0\r\n\r\n`,
    );
    await visitor.until("x".repeat(1_000));
  });
});

describe("an address without a tunnel", () => {
  it("is 404 for each request by itself", async () => {
    await using world = await startIngress();
    const visitor = await world.visit(get());
    await visitor.until("0\r\n\r\n");
    visitor.text = "";
    visitor.send("GET / HTTP/1.1\r\nHost: b.test\r\n\r\n");
    expect(await visitor.until("ENDPOINT_UNKNOWN")).toMatch(/^HTTP\/1\.1 404 Not Found\r\n/u);
    visitor.text = "";
    visitor.send(get());
    expect(await visitor.until("0\r\n\r\n")).toMatch(/^HTTP\/1\.1 200 /u);
  });

  it("reflects no markup", async () => {
    await using world = await startIngress();
    const visitor = await world.visit(
      "GET /<script>alert(1)</script> HTTP/1.1\r\nHost: b.test\r\nAccept: text/html\r\n\r\n",
    );
    expect(await visitor.until("</html>")).not.toContain("<script");
  });

  it("has an answer without a body for HEAD", async () => {
    await using world = await startIngress();
    const visitor = await world.visit(`HEAD / HTTP/1.1\r\nHost: b.test\r\nAccept: text/html\r\n\r\n${get()}`);
    expect(await visitor.until("0\r\n\r\n")).toMatch(
      /^HTTP\/1\.1 404 [\s\S]*?Content-Type: text\/html[\s\S]*?\r\n\r\nHTTP\/1\.1 200 /u,
    );
  });
});

describe("CONNECT", () => {
  it.each(["127.0.0.1:80", "a.test:443", "a.test"])("to %s dials nothing", async (target) => {
    await using world = await startIngress();
    const visitor = await world.visit(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n`);
    expect(await visitor.untilClosed()).toMatch(/^HTTP\/1\.1 4\d\d [\s\S]*ERR_GGROK_CONNECT_REFUSED/u);
    expect(world.exchanges).toHaveLength(0);
  });
});

describe("a request in a circle", () => {
  it("is answered with 508", async () => {
    await using world = await startIngress();
    const visitor = await world.visit(get("/", "Via: 1.1 ggrok (r1), 1.1 ggrok (r1), 1.1 ggrok (r1)\r\n"));
    expect(await visitor.untilClosed()).toMatch(/^HTTP\/1\.1 508 Loop Detected\r\n/u);
  });
});

describe("what the app is told about the visitor", () => {
  it("comes from the relay alone when the visitor came directly", async () => {
    await using world = await startIngress();
    const visitor = await world.visit(
      get(
        "/",
        "X-Forwarded-For: 6.6.6.6\r\nX_Forwarded_For: 7.7.7.7\r\nForwarded: for=6.6.6.6\r\nx-request-id: forged\r\n",
      ),
    );
    await visitor.until("0\r\n\r\n");
    const { head } = await world.exchange(0);
    expect(head.fields).toEqual([
      "Host",
      "a.test",
      "X-Forwarded-For",
      "127.0.0.1",
      "X-Forwarded-Proto",
      "http",
      "X-Forwarded-Host",
      "a.test",
      "X-Forwarded-Port",
      "80",
      "Forwarded",
      "for=127.0.0.1;host=a.test;proto=http",
      "Via",
      "1.1 ggrok (r1)",
      "x-request-id",
      head.requestId,
    ]);
    expect(head.requestId).toMatch(/^[\w-]{21}$/u);
    expect(head.meta).toMatchObject({ client: "127.0.0.1" });
  });

  it("extends what a trusted front end said", async () => {
    await using world = await startIngress({ trustProxy: ["127.0.0.0/8"] });
    const visitor = await world.visit(
      get("/", "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nx-request-id: edge-1\r\n"),
    );
    await visitor.until("0\r\n\r\n");
    const exchange = await world.exchange(0);
    expect(exchange.field("x-forwarded-for")).toBe("6.6.6.6, 127.0.0.1");
    expect(exchange.field("x-forwarded-proto")).toBe("https");
    expect(exchange.head.requestId).toBe("edge-1");
    expect(await world.record()).toMatchObject({ id: "edge-1", client: "6.6.6.6" });
  });

  it("names the prefix that was taken off", async () => {
    await using world = await startIngress({ stripPrefix: "/alice" });
    const visitor = await world.visit(get("/alice/x?y", "X-Forwarded-Prefix: /forged\r\n"));
    await visitor.until("0\r\n\r\n");
    const exchange = await world.exchange(0);
    expect(exchange.head.target).toBe("/x?y");
    expect(exchange.field("x-forwarded-prefix")).toBe("/alice");
    expect(await world.record()).toMatchObject({ path: "/alice/x?y" });
  });

  it("keeps odd targets and fields as they came", async () => {
    await using world = await startIngress();
    const visitor = await world.visit(
      get("//a/../b?b?c&%2D%zz%00", "X: \u00e9\u00c3\u00a9\r\nx:\r\n__proto__: 1\r\nContent-Type: not a type;;\r\n"),
    );
    await visitor.until("0\r\n\r\n");
    const { head } = await world.exchange(0);
    expect(head.target).toBe("//a/../b?b?c&%2D%zz%00");
    expect(head.fields.slice(0, 10)).toEqual([
      "Host",
      "a.test",
      "X",
      "\u00e9\u00c3\u00a9",
      "x",
      "",
      "__proto__",
      "1",
      "Content-Type",
      "not a type;;",
    ]);
  });
});
