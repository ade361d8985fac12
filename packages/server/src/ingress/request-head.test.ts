import { getField, getFields } from "@ggrok/protocol";
import { describe, expect, it } from "vitest";
import { TrustedPeers } from "./forwarded.ts";
import { viaOf } from "./loop.ts";
import { type RawRequest, type RequestHead, readRequestHead } from "./request-head.ts";

const context = {
  trusted: new TrustedPeers(["10.0.0.0/8"]),
  relayId: "r1",
  via: { "1.0": viaOf("1.0", "r1"), "1.1": viaOf("1.1", "r1") },
  newRequestId: () => "minted",
};

function request(rawHeaders: string[], o: Partial<Omit<RawRequest, "socket">> & { peer?: string } = {}): RawRequest {
  const { peer = "203.0.113.9", ...rest } = o;
  return { method: "GET", url: "/", httpVersion: "1.1", rawHeaders, socket: { remoteAddress: peer }, ...rest };
}

function read(rawHeaders: string[], o: Parameters<typeof request>[1] & { kind?: "upgrade" } = {}): RequestHead {
  const head = readRequestHead(request(rawHeaders, o), o.kind ?? "http", context);
  if (typeof head === "string") throw new Error(`refused: ${head}`);
  return head;
}

/** The visitor's own fields, without those the relay adds. */
function own(head: RequestHead): string[] {
  return head.fields.slice(0, head.fields.lastIndexOf("X-Forwarded-For"));
}

describe("fields", () => {
  it("keeps order, case, duplicates and bytes", () => {
    const raw = [
      "HOST",
      "a.test",
      "Set-Cookie",
      "a=1",
      "x",
      "",
      "set-cookie",
      "b=\u00e9\u00ff",
      "X",
      "\t1",
      "__proto__",
      "1",
    ];
    expect(own(read(raw))).toEqual(raw);
  });

  it("removes the fields of one hop, listed ones included", () => {
    const raw = [
      "Connection",
      "keep-alive, X-Secret",
      "Host",
      "a.test",
      "x-secret",
      "1",
      "Keep-Alive",
      "5",
      "Proxy-Connection",
      "x",
    ];
    expect(own(read([...raw, "TE", "gzip", "Upgrade", "foo", "Accept", "*/*"]))).toEqual([
      "Host",
      "a.test",
      "Accept",
      "*/*",
    ]);
  });

  it("does not let Connection remove the host, the length or the relay's own fields", () => {
    const head = read([
      "Host",
      "a.test",
      "Content-Length",
      "3",
      "Connection",
      "host, content-length, x-forwarded-for, via",
    ]);
    expect(own(head)).toEqual(["Host", "a.test", "Content-Length", "3"]);
    expect(getField(head.fields, "x-forwarded-for")).toBe("203.0.113.9");
    expect(getField(head.fields, "via")).toBe("1.1 ggrok (r1)");
  });

  it("keeps what an upgrade needs", () => {
    const raw = [
      "Host",
      "a.test",
      "Connection",
      "keep-alive, Upgrade",
      "Upgrade",
      "websocket",
      "Sec-WebSocket-Key",
      "k",
    ];
    expect(own(read(raw, { kind: "upgrade" }))).toEqual([
      "Host",
      "a.test",
      "Connection",
      "Upgrade",
      "Upgrade",
      "websocket",
      "Sec-WebSocket-Key",
      "k",
    ]);
  });

  it("says that trailers are welcome when the visitor said so", () => {
    expect(own(read(["Host", "a.test", "TE", "gzip, trailers"]))).toEqual(["Host", "a.test", "TE", "trailers"]);
  });
});

describe("fields the relay vouches for", () => {
  const forged = [
    "Host",
    "a.test",
    "X-Forwarded-For",
    "6.6.6.6",
    "X-Forwarded-Proto",
    "https",
    "Forwarded",
    "for=6.6.6.6",
  ];

  it("replaces what a visitor made up, in any spelling", () => {
    const head = read([
      ...forged,
      "X_Forwarded_For",
      "7.7.7.7",
      "x.forwarded.for",
      "8.8.8.8",
      "X-Real-IP",
      "9.9.9.9",
      "x-request-id",
      "mine",
    ]);
    expect(getFields(head.fields, "x-forwarded-for")).toEqual(["203.0.113.9"]);
    expect(getFields(head.fields, "x-forwarded-proto")).toEqual(["http"]);
    expect(getFields(head.fields, "forwarded")).toEqual(["for=203.0.113.9;host=a.test;proto=http"]);
    expect(head.fields.join()).not.toMatch(/[6789]\.[6789]\.[6789]/u);
    expect(head.requestId).toBe("minted");
    expect(getFields(head.fields, "x-request-id")).toEqual(["minted"]);
  });

  it("extends the chain and adopts the id of a trusted front end", () => {
    const head = read([...forged, "x-forwarded-host", "outer.test", "x-request-id", "abc-1", "X-Real-IP", "6.6.6.6"], {
      peer: "::ffff:10.0.0.1",
    });
    expect(getFields(head.fields, "x-forwarded-for")).toEqual(["6.6.6.6, 10.0.0.1"]);
    expect(getFields(head.fields, "x-forwarded-host")).toEqual(["outer.test"]);
    expect(getFields(head.fields, "x-forwarded-port")).toEqual(["443"]);
    expect(getFields(head.fields, "forwarded")).toEqual(["for=6.6.6.6, for=10.0.0.1;host=a.test;proto=https"]);
    expect(getFields(head.fields, "x-real-ip")).toEqual(["6.6.6.6"]);
    expect(head).toMatchObject({ client: "6.6.6.6", requestId: "abc-1", host: "a.test" });
  });

  it("mints an id when the front end's is not usable", () => {
    expect(read(["Host", "a.test", "x-request-id", "<b>"], { peer: "10.0.0.1" }).requestId).toBe("minted");
  });
});

describe("routing", () => {
  it.each([
    [[]],
    [["Host", ""]],
    [["Host", "a.test", "Host", "a.test"]],
    [["Host", "a.test", "host", "b.test"]],
    [["Host", "a b"]],
    [["Host", "a.test/path"]],
    [["Host", "evil@a.test"]],
    [["Host", "a.test, b.test"]],
    [["Host", "[a]"]],
    [["Host", "a..test"]],
    [["Host", "a\u0000.test"]],
  ])("refuses the host of %j", (raw) => {
    expect(readRequestHead(request(raw), "http", context)).toBe("ERR_GGROK_REQUEST_MALFORMED");
  });

  it("takes an absolute target for the same host", () => {
    expect(read(["Host", "A.test:80"], { url: "http://a.TEST:80/x?y" })).toMatchObject({
      target: "/x?y",
      host: "a.test",
    });
    expect(read(["Host", "a.test"], { url: "http://a.test?y" }).target).toBe("/?y");
  });

  it.each(["http://b.test/", "http://x@a.test/", "ftp://a.test/", "a.test:80", "", "*"])(
    "refuses the target %j",
    (url) => {
      expect(readRequestHead(request(["Host", "a.test"], { url }), "http", context)).toBe(
        "ERR_GGROK_REQUEST_MALFORMED",
      );
    },
  );

  it.each(["//", "/a/../b", "/?", "/?b?c", "/%2D%2d", "//x@x", "/%ff", "/%zz", "/%00", "/a#b", "/;x=[]|^"])(
    "passes %s as it is",
    (url) => {
      expect(read(["Host", "a.test"], { url }).target).toBe(url);
    },
  );

  it("takes the asterisk for OPTIONS", () => {
    expect(read(["Host", "a.test"], { method: "OPTIONS", url: "*" }).target).toBe("*");
  });

  it("refuses what is too long or too much", () => {
    expect(readRequestHead(request(["Host", "a.test"], { url: `/${"x".repeat(16_384)}` }), "http", context)).toBe(
      "ERR_GGROK_REQUEST_URI_TOO_LONG",
    );
    const many = Array.from({ length: 1_000 }, () => ["a", "b"]).flat();
    expect(readRequestHead(request(["Host", "a.test", ...many]), "http", context)).toBe(
      "ERR_GGROK_REQUEST_HEADERS_TOO_LARGE",
    );
  });

  it("refuses other versions", () => {
    expect(readRequestHead(request(["Host", "a.test"], { httpVersion: "2.0" }), "http", context)).toBe(
      "ERR_GGROK_REQUEST_MALFORMED",
    );
  });

  it("notices a circle", () => {
    const via = "1.1 ggrok (r1)";
    expect(readRequestHead(request(["Host", "a.test", "Via", via, "Via", `${via}, ${via}`]), "http", context)).toBe(
      "ERR_GGROK_LOOP_DETECTED",
    );
    expect(getFields(read(["Host", "a.test", "Via", via]).fields, "via")).toEqual([via, via]);
  });
});

describe("framing", () => {
  it.each([
    [["Content-Length", "5", "Transfer-Encoding", "chunked"]],
    [["Content-Length", "5", "Content-Length", "5"]],
    [["Content-Length", "5", "content-length", "6"]],
    [["Content-Length", "5, 6"]],
    [["Content-Length", "+5"]],
    [["Content-Length", "0x5"]],
    [["Content-Length", ""]],
    [["Content-Length", "9".repeat(23)]],
    [["Transfer-Encoding", "gzip, chunked"]],
    [["Transfer-Encoding", "chunked", "Transfer-Encoding", "chunked"]],
    [["Transfer-Encoding", "xchunked"]],
  ])("refuses %j", (framing) => {
    expect(readRequestHead(request(["Host", "a.test", ...framing]), "http", context)).toBe(
      "ERR_GGROK_REQUEST_MALFORMED",
    );
  });

  it("refuses chunks of HTTP/1.0", () => {
    const raw = ["Host", "a.test", "Transfer-Encoding", "chunked"];
    expect(readRequestHead(request(raw, { httpVersion: "1.0" }), "http", context)).toBe("ERR_GGROK_REQUEST_MALFORMED");
  });

  it.each([
    [[], false],
    [["Content-Length", "0"], false],
    [["Content-Length", "7"], true],
    [["Transfer-Encoding", "Chunked"], true],
  ])("reads whether a body follows from %j", (framing, hasBody) => {
    expect(read(["Host", "a.test", ...framing]).hasBody).toBe(hasBody);
  });
});
