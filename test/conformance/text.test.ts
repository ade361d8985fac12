// Text from strangers in what people read: one request, one line, and nothing a terminal acts upon.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Place, type Program, RelayProcess } from "../e2e/cli-world.ts";
import { RawClient } from "../harness/raw-client.ts";
import { RawOrigin } from "../harness/raw-origin.ts";

/** ESC, OSC 52, BEL, C1 as UTF-8 and alone, bidi marks, a second line: as visitors can send them. */
const EVIL_PATHS: Record<string, string> = {
  "percent-encoded CR and LF": "/a%0d%0a{%22event%22:%22fake%22}",
  "C1 as single bytes": "/a\u009b31mred\u0085b",
  "C1 as UTF-8": `/${Buffer.from("a\u009b31m\u0085b").toString("latin1")}`,
  "bidi marks": `/${Buffer.from("a\u202egnp\u2066b\u2069").toString("latin1")}`,
  "line separators": `/${Buffer.from("a\u2028b\u2029c").toString("latin1")}`,
  quotes: '/a"b\\c',
};
// What a terminal acts upon; line feeds separate lines and are counted apart.
const UNSAFE = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufffd]/u;

let relay: RelayProcess;
let place: Place;
let plainPlace: Place;
let origin: RawOrigin;
let jsonAgent: Program;
let plainAgent: Program;

beforeAll(async () => {
  relay = await RelayProcess.start();
  place = new Place();
  plainPlace = new Place();
  origin = await RawOrigin.start();
  const args = (name: string): string[] => ["http", `127.0.0.1:${origin.port}`, "--relay", relay.origin, "--url", name];
  jsonAgent = place.ggrok([...args("json"), "--json"]);
  plainAgent = plainPlace.ggrok(args("plain"));
  await Promise.all([jsonAgent.event("tunnel.online"), plainAgent.line(0)]);
});
afterAll(async () => {
  for (const each of [jsonAgent, plainAgent, relay, origin, place, plainPlace]) await each[Symbol.asyncDispose]();
});

async function ask(name: string, target: string, ...lines: string[]): Promise<number> {
  await using visitor = await RawClient.connect(relay.port);
  const fields = [`Host: ${name}.localhost:${relay.port}`, ...lines].map((line) => `${line}\r\n`).join("");
  visitor.send(`GET ${target} HTTP/1.1\r\n${fields}\r\n`);
  return (await visitor.answer())?.status ?? 0;
}

function expectHarmless(text: string): void {
  expect(UNSAFE.exec(text)?.[0], JSON.stringify(text.slice(-400))).toBeUndefined();
}

describe.each(["json", "plain"])("the %s output of an agent and the relay's log", (name) => {
  it.each(Object.entries(EVIL_PATHS))("with %s in the path stay harmless, a line a request", async (_what, target) => {
    const before = relay.program.events("exchange").length;
    const status = await ask(name, target, "User-Agent: a\u009b2J\u00e9", "X-A: \u0085\u009b", "Referer: \u202e");
    // What is refused needs no line, but what is served has exactly one.
    expect([200, 400]).toContain(status);
    expect(await ask(name, "/after")).toBe(200);
    await relay.program.until("the line of the request after it", () =>
      relay.program
        .events("exchange")
        .slice(before)
        .some(({ path }) => path === "/after"),
    );
    const served = relay.program
      .events("exchange")
      .slice(before)
      .filter((event) => event["status"] === 200);
    expect(served).toHaveLength(status === 200 ? 2 : 1);
    const agent = name === "json" ? jsonAgent : plainAgent;
    if (name === "json") {
      await agent.until("the request after it", () => agent.events("request").at(-1)?.["path"] === "/after");
      expect(agent.events("fake")).toEqual([]);
    } else {
      expect(agent.lines).toEqual([`http://plain.localhost:${relay.port}`]);
    }
    for (const text of [agent.stdout, agent.stderr, relay.program.stdout, relay.program.stderr]) expectHarmless(text);
  });

  it("stay harmless when the app's failure carries control bytes", async () => {
    for (const text of ["\x1b]52;c;eA==\x07\r\n\r\n", "HTTP/1.1 200 \x1b[2J\r\n\r\n", "HTTP/1.1 2\u009b0 x\r\n\r\n"]) {
      origin.script = (connection) => connection.end(text);
      expect([200, 502]).toContain(await ask(name, "/failing"));
    }
    origin.script = undefined;
    expect(await ask(name, "/recovered")).toBe(200);
    await relay.program.until("the line of the last request", () =>
      relay.program.events("exchange").some(({ path }) => path === "/recovered"),
    );
    for (const { stdout, stderr } of [jsonAgent, plainAgent, relay.program]) {
      expectHarmless(stdout);
      expectHarmless(stderr);
    }
  });
});
