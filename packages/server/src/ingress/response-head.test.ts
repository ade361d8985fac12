import { describe, expect, it } from "vitest";
import { interimFields, prepareHead, rawHead, switchingFields, trailerPasses } from "./response-head.ts";

const get = { method: "GET", version: "1.1" } as const;

function prepare(fields: string[], o: { status?: number; method?: string; version?: "1.0" | "1.1" } = {}) {
  return prepareHead(
    { status: o.status ?? 200, reason: "OK", fields },
    { method: o.method ?? "GET", version: o.version ?? "1.1" },
  );
}

describe("prepareHead", () => {
  it("hands fields on without copying when there is nothing to take out", () => {
    const fields = ["Set-Cookie", "a", "set-cookie", "b", "Content-Length", "3", "X", "\u00e9"];
    expect(prepare(fields)?.fields).toBe(fields);
  });

  it("takes out the fields of one hop", () => {
    const fields = [
      "Connection",
      "close, x-hop",
      "X-Hop",
      "1",
      "Transfer-Encoding",
      "chunked",
      "Keep-Alive",
      "1",
      "A",
      "b",
    ];
    expect(prepare(fields)?.fields).toEqual(["A", "b"]);
  });

  it.each([
    [["Content-Length", "5", "Content-Length", "6"]],
    [["Content-Length", "-1"]],
    [["Content-Length", "5x"]],
    [["Content-Length", ""]],
  ])("refuses the framing of %j", (fields) => {
    expect(prepare(fields)).toBeUndefined();
  });

  it("joins a repeated length", () => {
    expect(prepare(["Content-Length", "5", "A", "b", "content-length", "5"])).toMatchObject({
      fields: ["Content-Length", "5", "A", "b"],
      contentLength: 5,
    });
  });

  it.each([101, 100, 99, 1_000])("refuses %i as a final status", (status) => {
    expect(prepare([], { status })).toBeUndefined();
  });

  it("knows which answers have no body", () => {
    expect(prepare(["Content-Length", "5"], { method: "HEAD" })).toMatchObject({ hasBody: false, contentLength: 5 });
    expect(prepare([], { status: 204 })?.hasBody).toBe(false);
    expect(prepare([], { status: 304 })?.hasBody).toBe(false);
    expect(prepare([], { status: 205 })?.hasBody).toBe(true);
  });

  it("announces trailers only where they can be sent", () => {
    expect(prepare(["Trailer", "x"])?.fields).toEqual(["Trailer", "x"]);
    expect(prepare(["Trailer", "x", "Content-Length", "1"])?.fields).toEqual(["Content-Length", "1"]);
    expect(prepare(["Trailer", "x"], { version: "1.0" })?.fields).toEqual([]);
    expect(prepare(["Trailer", "x"], { method: "HEAD" })?.fields).toEqual([]);
  });

  it("leaves a disposition alone that Node leaves alone", () => {
    const before = ["Content-Disposition", "attachment; filename=\u00fc", "Content-Length", "3"];
    expect(prepare(before)?.fields).toBe(before);
    const ascii = ["Content-Length", "3", "Content-Disposition", "attachment"];
    expect(prepare(ascii)?.fields).toBe(ascii);
  });

  it("takes any status of an app", () => {
    expect(prepareHead({ status: 299, reason: "", fields: [] }, get)).toMatchObject({ status: 299, reason: "" });
  });
});

it("writes an interim head as it came, without framing", () => {
  const head = {
    status: 103,
    reason: "Early Hints",
    fields: ["Link", "</a>; rel=preload", "Content-Length", "5", "Connection", "x", "X", "1"],
  };
  expect(rawHead(head, interimFields(head.fields))).toBe("HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n");
});

it("keeps the upgrade of a 101 and nothing else of the hop", () => {
  const fields = [
    "Upgrade",
    "websocket",
    "Connection",
    "keep-alive, upgrade",
    "Keep-Alive",
    "1",
    "Transfer-Encoding",
    "x",
    "A",
    "b",
  ];
  expect(switchingFields(fields)).toEqual(["Upgrade", "websocket", "Connection", "Upgrade", "A", "b"]);
  expect(switchingFields(["Upgrade", "foo"])).toEqual(["Upgrade", "foo", "Connection", "Upgrade"]);
});

it("lets no trailer change what was read", () => {
  expect(["x-checksum", "grpc-status", "__proto__"].every(trailerPasses)).toBe(true);
  expect(
    ["Content-Length", "host", "X-Forwarded-For", "Set-Cookie", "transfer-encoding", "x_forwarded_for"].some(
      trailerPasses,
    ),
  ).toBe(false);
});
