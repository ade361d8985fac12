// One place for the token, settings that fail closed, and nothing of the relay's or the agent's own behind a public name.
import { statSync } from "node:fs";
import { createRelay, type Relay, type RelayOptions } from "@ggrok/server";
import { afterEach, describe, expect, it } from "vitest";
import { Place } from "../e2e/cli-world.ts";
import { valuesOf } from "../harness/byte-reader.ts";
import { RawClient } from "../harness/raw-client.ts";
import { startWorld } from "../harness/world.ts";

const open: AsyncDisposable[] = [];
afterEach(async () => {
  for (const each of open.splice(0).reverse()) await each[Symbol.asyncDispose]();
});

async function start(o: RelayOptions): Promise<Relay> {
  const relay = await createRelay({ bind: "127.0.0.1", domain: "localhost", ...o });
  open.push({ [Symbol.asyncDispose]: () => relay.close(500) });
  return relay;
}

async function statusOf(port: number, start: string, ...lines: string[]): Promise<number | undefined> {
  const visitor = await RawClient.connect(port, { first: `${[start, ...lines].join("\r\n")}\r\n\r\n` });
  open.push(visitor);
  return (await visitor.answer())?.status;
}

const DIAL = [
  "Host: localhost",
  "Connection: Upgrade",
  "Upgrade: websocket",
  "Sec-WebSocket-Version: 13",
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
  "Sec-WebSocket-Protocol: ggrok.v1",
];
const PATH = "GET /$$ggrok HTTP/1.1";

describe("an agent's token", () => {
  it.each<[string, string, string[], number]>([
    ["good in its one place", PATH, ["Authorization: Bearer good"], 101],
    ["good, whatever a cookie says", PATH, ["Authorization: Bearer good", "Cookie: token=bad"], 101],
    ["wrong, whatever other places say", "GET /$$ggrok?token=good HTTP/1.1", ["Authorization: Bearer bad"], 401],
    ["wrong beside a good cookie", PATH, ["Authorization: Bearer bad", "Cookie: authorization=Bearer good"], 401],
    ["wrong beside a good proxy field", PATH, ["Authorization: Bearer bad", "Proxy-Authorization: Bearer good"], 401],
    ["in the query alone", "GET /$$ggrok?token=good&authorization=Bearer%20good HTTP/1.1", [], 401],
    ["in the proxy's field alone", PATH, ["Proxy-Authorization: Bearer good"], 401],
    ["in two fields, the good one first", PATH, ["Authorization: Bearer good", "Authorization: Bearer bad"], 401],
    ["in two fields, the good one last", PATH, ["Authorization: Bearer bad", "Authorization: Bearer good"], 401],
    ["as a list", PATH, ["Authorization: Bearer bad, Bearer good"], 401],
    ["under another scheme", PATH, ["Authorization: Basic good"], 401],
    ["empty", PATH, ["Authorization: Bearer "], 401],
    ["with something behind it", PATH, ["Authorization: Bearer good "], 101],
    ["with more behind it", PATH, ["Authorization: Bearer goodX"], 401],
    ["cut short", PATH, ["Authorization: Bearer goo"], 401],
    ["in other letters", PATH, ["Authorization: Bearer GOOD"], 401],
  ])("%s", async (_name, line, lines, status) => {
    const relay = await start({ token: "good" });
    expect(await statusOf(relay.port, line, ...DIAL, ...lines)).toBe(status);
  });
});

describe("a setting for safety that is wrong", () => {
  it.each<[keyof RelayOptions, string]>([
    ["token", ""],
    ["token", "two words"],
    ["token", "env:GGROK_NOT_THERE"],
    ["token", "file:/nowhere/at/all"],
    ["adminToken", ""],
    ["adminToken", "env:GGROK_NOT_THERE"],
    ["trustProxy", "10.0.0.0/33"],
    ["trustProxy", "everyone"],
    ["trustProxy", "10.0.0.0/8,x"],
    ["bind", "not an address"],
    ["domain", "a b"],
    ["publicUrl", "ftp://x"],
    ["hold", "soon"],
    ["grace", "-1s"],
  ])("%s %j: keeps the relay from starting, and is named", async (name, value) => {
    const settings = { [name]: value } satisfies RelayOptions;
    const word = name.replace(/[A-Z]/gu, (letter) => `-${letter.toLowerCase()}`);
    await expect(start(settings)).rejects.toThrow(new RegExp(`${word}|${name}`, "u"));
  });
});

describe("behind a public name", () => {
  const PATHS = ["", "/", "/health", "/ready", "/metrics", "/api/v1/sessions", "/api/openapi.json", "/connect/x"];

  it("nothing of the relay's answers, by whatever spelling or forwarded name", async () => {
    const world = await startWorld({ relay: { adminToken: "admin", trustProxy: "none" } });
    open.push(world);
    for (const path of PATHS) {
      for (const lines of [
        [],
        ["X-Forwarded-Host: localhost"],
        ["Forwarded: host=localhost"],
        ["X-Original-URL: /$$ggrok/metrics"],
      ]) {
        const before = world.origin.requests.length;
        const answer = await world.ask(
          world.head(`GET /$$ggrok${path} HTTP/1.1`, ...lines, "Authorization: Bearer admin"),
        );
        expect(answer.bytes.toString(), path).toBe("ok");
        expect(world.origin.requests[before]?.target).toBe(`/$$ggrok${path}`);
      }
    }
    await world.expectGood();
  });

  it("the relay's own host gives nothing that needs a login without one", async () => {
    const relay = await start({ adminToken: "admin", token: "good" });
    for (const path of ["/metrics", "/api/v1/sessions", "/api/openapi.json", "/api/v1/", "/debug", "/debug/pprof"]) {
      for (const lines of [[], ["Authorization: Bearer bad"], ["Authorization: Bearer good"]]) {
        const status = await statusOf(relay.port, `GET /$$ggrok${path} HTTP/1.1`, "Host: localhost", ...lines);
        expect([401, 403, 404], `${path} ${lines.join()} got ${status}`).toContain(status);
      }
    }
  });

  it("the agent's local pages do not answer to other names", async () => {
    const world = await startWorld();
    open.push(world);
    const place = new Place();
    open.push(place);
    const agent = place.ggrok([
      "http",
      String(world.origin.port),
      "--relay",
      `http://localhost:${world.relay.port}`,
      "--url",
      "other",
      "--json",
    ]);
    open.push(agent);
    const { url } = await agent.event("inspector.online");
    const { port } = new URL(String(url));
    for (const host of [
      "evil.example",
      "127.0.0.1.evil.example",
      "localhost.",
      `evil.example:${port}`,
      world.host,
      "",
    ]) {
      for (const path of ["/", "/api/tunnels", "/api/status"]) {
        const visitor = await RawClient.connect(Number(port), {
          first: `GET ${path} HTTP/1.1\r\n${host === "" ? "" : `Host: ${host}\r\n`}\r\n`,
        });
        open.push(visitor);
        const answer = await visitor.answer();
        expect([400, 403], `${host}${path} got ${answer?.status}`).toContain(answer?.status);
        expect(answer?.bytes.toString()).not.toContain("localhost:");
        expect(answer && valuesOf(answer.fields, "access-control-allow-origin")).toEqual([]);
      }
    }
  });
});

it("a stored token is for its owner's eyes only, whatever the umask", async () => {
  const place = new Place();
  open.push(place);
  const old = process.umask(0);
  try {
    const run = place.ggrok(["config", "add-authtoken", "secret-of-a-test", "--relay", "https://relay.example"]);
    open.push(run);
    expect(await run.exited, run.stderr).toBe(0);
  } finally {
    process.umask(old);
  }
  expect(statSync(place.configPath).mode & 0o777).toBe(0o600);
});
