import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { recogniseRefusal } from "./host-signature.ts";

const recognise = (status: number, body: string | Buffer, o: { path?: string; coding?: string } = {}) =>
  recogniseRefusal({
    status,
    path: o.path ?? "/",
    fields: o.coding === undefined ? [] : ["Content-Encoding", o.coding],
    body: Buffer.from(body),
  })?.server;

const VITE =
  'Blocked request. This host ("demo.test") is not allowed.\nTo allow this host, add "demo.test" to `server.allowedHosts` in vite.config.js.';

describe("recogniseRefusal", () => {
  it.each([
    [403, VITE, "Vite"],
    [
      403,
      'Blocked request. This host ("demo.test") is not allowed.\nTo allow this host, add "demo.test" to `allowedHosts` under the `serve` target in `angular.json`.',
      "Angular",
    ],
    [
      403,
      '<title>Blocked request</title>…<h1>Blocked request. This host ("demo.test") is not allowed.</h1><code>angular.json</code>',
      "Angular",
    ],
    [403, "Invalid Host header", "webpack-dev-server"],
    [403, "<!DOCTYPE html>…<header><h1>Blocked host: demo.test</h1></header>", "Rails"],
    [403, "Blocked hosts: demo.test\n", "Rails"],
    [400, "<title>DisallowedHost\n  at /</title>… Invalid HTTP_HOST header: &#x27;demo.test&#x27;.", "Django"],
  ])("knows a %i with %j", (status, body, server) => {
    expect(recognise(status, body)).toBe(server);
  });

  it.each([
    [200, VITE],
    [404, "Invalid Host header"],
    [403, "Forbidden"],
    [400, "Bad Request"],
    [403, "nothing found for: Blocked request. This host ("],
    [403, "<p>Blocked host: from a comment</p>"],
    [400, "no such path: Invalid HTTP_HOST header: DisallowedHost"],
  ])("takes a %i with %j for the app's own word", (status, body) => {
    expect(recognise(status, body)).toBeUndefined();
  });

  it("takes any 403 below /_next/ for Next's", () => {
    expect(recognise(403, "Unauthorized", { path: "/_next/static/a.js" })).toBe("Next.js");
    expect(recognise(403, "Unauthorized", { path: "/docs/_next/webpack-hmr?id=1" })).toBe("Next.js");
    expect(recognise(403, "Unauthorized", { path: "/a?to=/_next/" })).toBeUndefined();
    expect(recognise(404, "", { path: "/_next/a.js" })).toBeUndefined();
  });

  it("reads compressed bodies, also where they were cut", () => {
    expect(recognise(403, gzipSync(VITE), { coding: "gzip" })).toBe("Vite");
    expect(recognise(403, gzipSync(VITE.padEnd(9_000, "x")).subarray(0, -12), { coding: "gzip" })).toBe("Vite");
    expect(recognise(403, deflateSync(VITE), { coding: "deflate" })).toBe("Vite");
    expect(recognise(403, brotliCompressSync(VITE), { coding: "br" })).toBe("Vite");
    expect(recognise(403, "not gzip at all", { coding: "gzip" })).toBeUndefined();
    expect(recognise(403, VITE, { coding: "zstd" })).toBeUndefined();
  });
});
