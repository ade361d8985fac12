import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { within } from "../harness/deadline.ts";
import { App, Place, type Program, RelayProcess, visit } from "./cli-world.ts";

/** A relay that lets nobody wait for a name that is not there. */
const startRelay = () => RelayProcess.start(["--domain", "localhost", "--park", "100ms"]);
const saying = (text: string) => App.start((_request, response) => response.end(text));

interface Entry {
  name: string;
  url?: string;
  upstream: Record<string, unknown>;
  [key: string]: unknown;
}

/** For what ends before it would dial. */
const NOWHERE = { origin: "http://localhost:1" };

/** Writes the configuration of a place; JSON is YAML too, one entry a line. */
function configure(place: Place, relay: { origin: string }, endpoints: readonly Entry[], more = ""): void {
  mkdirSync(dirname(place.configPath), { recursive: true });
  const lines = endpoints.map((endpoint) => `  - ${JSON.stringify(endpoint)}\n`).join("") || "  []\n";
  writeFileSync(place.configPath, `version: 3\nrelay: ${relay.origin}\n${more}endpoints:\n${lines}`, { mode: 0o600 });
}

const entry = (name: string, port: number, more: Record<string, unknown> = {}): Entry => ({
  name,
  url: name,
  upstream: { url: port },
  ...more,
});

function startAll(place: Place, ...args: string[]): Program {
  return place.ggrok(["start", "--json", "--web-addr", "127.0.0.1:0", ...args]);
}

const online = async (agent: Program, count: number): Promise<void> => void (await agent.event("tunnel.online", count));
const said = (agent: Program, text: string): Promise<void> => agent.until(text, () => agent.stderr.includes(text));

describe("ggrok start", () => {
  it("opens the tunnels it is told over one session, in the order of the file", async () => {
    await using relay = await startRelay();
    await using place = new Place();
    await using a = await saying("a");
    await using b = await saying("b");
    configure(place, relay, [entry("one", a.port), entry("two", b.port), entry("three", b.port)]);
    await using agent = place.ggrok(["start", "two", "one", "--web-addr", "127.0.0.1:0"]);
    const urls = [await agent.line(0), await agent.line(1)];
    expect(urls).toEqual(["one", "two"].map((name) => `http://${name}.localhost:${relay.port}`));
    expect(await visit(urls[0] ?? "")).toMatchObject({ text: "a" });
    expect(await visit(urls[1] ?? "")).toMatchObject({ text: "b" });
    expect((await visit(`http://three.localhost:${relay.port}`)).status).not.toBe(200);
    expect(relay.program.events("session.online")).toHaveLength(1);
    agent.kill();
    expect(await agent.exited).toBe(0);
    expect(agent.lines).toEqual(urls);
  });

  it("carries HTTP and TCP side by side, with the settings of each", async () => {
    await using relay = await startRelay();
    await using place = new Place();
    await using app = await App.start((request, response) => {
      response.setHeader("x-inside", "1");
      response.end(`${request.headers.host} ${request.headers["x-added"]} ${request.url}`);
    });
    await using other = await App.start((request, response) => response.end(`other ${request.url}`));
    configure(place, relay, [
      entry("web", app.port, {
        upstream: { url: app.port, host_header: "app.internal" },
        mounts: { "/api": other.port },
        strip_prefix: true,
        request_headers: { add: ["X-Added: yes"] },
        response_headers: { remove: ["X-Inside"] },
      }),
      { name: "raw", url: "raw", upstream: { url: `tcp://localhost:${other.port}` }, public: true },
    ]);
    await using agent = startAll(place, "--all");
    await online(agent, 2);
    const url = `http://web.localhost:${relay.port}`;
    const answer = await visit(url, "/x");
    expect(answer.text).toBe("app.internal yes /x");
    expect(answer.headers["x-inside"]).toBeUndefined();
    expect((await visit(url, "/api/y")).text).toBe("other /y");
    const raw = connect({ host: "127.0.0.1", port: relay.port });
    raw.write("CONNECT raw.localhost:1 HTTP/1.1\r\nHost: raw.localhost:1\r\n\r\n");
    await once(raw, "data");
    raw.write("GET /z HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    let text = "";
    for await (const chunk of raw) text += String(chunk);
    expect(text).toContain("other /z");
  });

  it("keeps a name it was given for each endpoint, whatever it leads to", async () => {
    await using relay = await startRelay();
    await using place = new Place();
    const urls: unknown[][] = [];
    for (const port of [3000, 4000]) {
      configure(place, relay, [
        { name: "one", upstream: { url: port } },
        { name: "two", upstream: { url: port } },
      ]);
      await using agent = startAll(place, "--all");
      await online(agent, 2);
      urls.push(agent.events("tunnel.online").map(({ name, url }) => [name, url]));
      agent.kill();
      expect(await agent.exited).toBe(0);
    }
    expect(new Set(urls[0]?.map(String)).size).toBe(2);
    expect(new Map(urls[1] as [string, string][])).toEqual(new Map(urls[0] as [string, string][]));
  });

  it.each([
    [["start"], 2, "one, two"],
    [["start", "none"], 3, "there is no endpoint none"],
    [["start", "--all", "one"], 2, "--all"],
  ] as const)("%j ends with %i", async (args, code, text) => {
    await using place = new Place();
    configure(place, NOWHERE, [entry("one", 3000), entry("two", 3000)]);
    await using agent = place.ggrok(args);
    expect(await agent.exited).toBe(code);
    expect(agent.stderr).toContain(text);
  });

  it("names every wrong setting with its line", async () => {
    await using place = new Place();
    configure(place, NOWHERE, [
      entry("one", 3000, { timeout: "soon" }),
      entry("two", 0, { upstream: { url: "ftp://x" } }),
      entry("three", 1, { cidr_allow: ["10.0.0.0/99"] }),
    ]);
    await using agent = startAll(place, "--all");
    expect(await agent.exited).toBe(3);
    for (const line of [4, 5, 6]) expect(agent.stderr).toContain(`${place.configPath}:${line}: `);
  });
});

describe("a configuration that changes", () => {
  it("touches only what changed: open exchanges of the others go on", async () => {
    await using relay = await startRelay();
    await using place = new Place();
    const gate = Promise.withResolvers<void>();
    let begun = 0;
    const allBegun = Promise.withResolvers<void>();
    await using slow = await App.start((_request, response) => {
      response.write("begun ");
      begun += 1;
      if (begun === 3) allBegun.resolve();
      void gate.promise.then(() => response.end("whole"));
    });
    await using b = await saying("b");
    await using c = await saying("c");
    const kept = entry("kept", slow.port);
    configure(place, relay, [kept, entry("moved", slow.port), entry("gone", slow.port), entry("named", b.port)]);
    await using agent = startAll(place, "--all");
    await online(agent, 4);
    const url = (name: string) => `http://${name}.localhost:${relay.port}`;
    // One exchange is open on each of three tunnels while the file changes.
    const open = ["kept", "moved", "gone"].map((name) => visit(url(name)));
    await within("three requests", allBegun.promise);
    configure(place, relay, [
      kept,
      entry("moved", b.port),
      { ...entry("named", b.port), url: "renamed" },
      entry("new", c.port),
    ]);
    await said(agent, "was read again: gone removed; moved leads to");
    const urls = (): unknown[] => agent.events("tunnel.online").map((event) => event["url"]);
    await agent.until("the new tunnels", () => [url("new"), url("renamed")].every((one) => urls().includes(one)));
    expect(await visit(url("moved"))).toMatchObject({ status: 200, text: "b" });
    expect(await visit(url("renamed"))).toMatchObject({ status: 200, text: "b" });
    expect(await visit(url("new"))).toMatchObject({ status: 200, text: "c" });
    expect((await visit(url("gone"))).status).not.toBe(200);
    gate.resolve();
    for (const answer of await Promise.all(open)) expect(answer).toMatchObject({ status: 200, text: "begun whole" });
    expect(agent.events("tunnel.offline").map(({ name }) => name)).toEqual(["gone", "named"]);
    expect(relay.program.events("session.online")).toHaveLength(1);
  });

  it("stays as it is when the file is broken, says the line, and takes the next good one", async () => {
    await using relay = await startRelay();
    await using place = new Place();
    await using a = await saying("a");
    await using b = await saying("b");
    configure(place, relay, [entry("one", a.port)]);
    await using agent = startAll(place, "--all");
    await online(agent, 1);
    const url = `http://one.localhost:${relay.port}`;
    configure(place, relay, [entry("one", b.port, { colour: "red" })]);
    await said(agent, `the tunnels stay as they are: ${place.configPath}:4: unknown key "endpoints.0.colour"`);
    configure(place, relay, [entry("one", 0, { upstream: { url: "ftp://x" } })]);
    await said(agent, `${place.configPath}:4: endpoint "one"`);
    expect((await visit(url)).text).toBe("a");
    configure(place, relay, [entry("one", b.port)]);
    await said(agent, "was read again");
    expect((await visit(url)).text).toBe("b");
  });

  it("is read again on SIGHUP, and a name that cannot be had ends nothing", async () => {
    await using relay = await startRelay();
    await using place = new Place();
    await using elsewhere = new Place();
    await using a = await saying("a");
    await using holder = elsewhere.ggrok(["http", "--relay", relay.origin, "--url", "taken", String(a.port)]);
    await holder.line();
    configure(place, relay, [entry("one", a.port)]);
    await using agent = startAll(place, "--all");
    await online(agent, 1);
    configure(place, relay, [entry("one", a.port), entry("taken", a.port)], "agent: { log_level: warn }\n");
    agent.kill("SIGHUP");
    await said(agent, "taken added; relay, token, proxy, ca and agent count from the next start on");
    await agent.until("the refusal", () => /^taken: .*belongs to another/m.test(agent.stderr));
    expect(await visit(`http://one.localhost:${relay.port}`)).toMatchObject({ status: 200, text: "a" });
    expect(agent.child.exitCode).toBeNull();
  });
});

describe("a project's file", () => {
  it("exposes no folder of this machine before it was confirmed, not even to the user's own relay", async () => {
    await using place = new Place();
    configure(place, NOWHERE, []);
    writeFileSync(join(place.cwd, "ggrok.yml"), "endpoints:\n  - { name: all, upstream: { url: file:///etc } }\n");
    await using agent = startAll(place, "--all");
    expect(await agent.exited).toBe(3);
    expect(agent.stderr).toContain("endpoint all: file:///etc");
  });

  it("is followed like the user's, but what needs a word of the user's stays out", async () => {
    await using relay = await startRelay();
    await using place = new Place();
    await using a = await saying("a");
    await using b = await saying("b");
    configure(place, relay, []);
    const project = join(place.cwd, "ggrok.yml");
    writeFileSync(project, `endpoints:\n  - { name: one, url: one, upstream: { url: ${a.port} } }\n`);
    await using agent = startAll(place, "--all");
    await online(agent, 1);
    writeFileSync(project, "endpoints:\n  - { name: one, url: one, upstream: { url: file:///etc } }\n");
    await said(agent, "was not confirmed with what it says now");
    expect((await visit(`http://one.localhost:${relay.port}`)).text).toBe("a");
    writeFileSync(project, `endpoints:\n  - { name: one, url: one, upstream: { url: ${b.port} } }\n`);
    await said(agent, "one leads to");
    expect((await visit(`http://one.localhost:${relay.port}`)).text).toBe("b");
  });
});
