import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo, Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { forward } from "ggrok";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PrivateCa } from "../harness/private-ca.ts";
import { App, freePort, Place, type Program, RelayProcess, visit } from "./cli-world.ts";

let relay: RelayProcess;
let folder: string;
let ca: PrivateCa;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ggrok-targets-"));
  relay = await RelayProcess.start();
  ca = await PrivateCa.create(folder);
});
afterAll(async () => {
  await relay[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

const http = (place: Place, ...args: string[]): Program => place.ggrok(["http", "--relay", relay.origin, ...args]);

/** What the app saw of a request, and which name TLS asked for. */
const mirror: RequestListener = (request, response) => {
  const { host, origin, referer } = request.headers;
  const added = request.headers["x-added"];
  response.setHeader("x-inside", "secret");
  response.setHeader("location", `http://${host}/next`);
  const sni = (request.socket as TLSSocket).servername;
  response.end(JSON.stringify({ url: request.url, host, origin, referer, added, sni }));
};

async function listen(server: Server, where: number | string): Promise<AsyncDisposable & { port: number }> {
  server.listen(typeof where === "string" ? { path: where } : { port: where, host: "127.0.0.1" });
  await once(server, "listening");
  const address = server.address();
  return {
    port: typeof address === "string" ? 0 : (address as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      const closed = once(server, "close");
      server.close();
      await closed;
    },
  };
}

async function seen(url: string, path = "/", headers: Record<string, string> = {}): Promise<Record<string, unknown>> {
  const answer = await visit(url, path, { headers });
  expect(answer.status, answer.text).toBe(200);
  return JSON.parse(answer.text) as Record<string, unknown>;
}

describe("https:// targets", () => {
  it("on this machine are not checked, unless the user says so or names an authority", async () => {
    await using place = new Place();
    await using app = await listen(createTlsServer(await ca.issue(["localhost"]), mirror), 0);
    const target = `https://localhost:${app.port}`;
    const runs = [
      { flags: [], status: 200 },
      { flags: ["--upstream-tls-verify", "true"], status: 502 },
      { flags: ["--upstream-tls-ca", ca.path], status: 200 },
      { flags: ["--upstream-tls-verify=false", "--upstream-tls-ca", ca.path], status: 200 },
    ];
    for (const { flags, status } of runs) {
      await using agent = http(place, ...flags, target);
      const answer = await visit(await agent.line());
      expect([flags, answer.status]).toEqual([flags, status]);
      if (status === 502) expect(answer.headers["ggrok-error"]).toBe("ERR_GGROK_UPSTREAM_TLS_FAILED");
      else expect(JSON.parse(answer.text)).toMatchObject({ sni: "localhost" });
    }
    // The certificate is the authority's, but it is one for another name.
    await using agent = http(place, "--upstream-tls-ca", ca.path, `https://127.0.0.1:${app.port}`);
    expect((await visit(await agent.line())).status).toBe(502);
  });
});

describe("unix: targets", () => {
  it("are named as what they are while nobody listens, and need no restart", async () => {
    await using place = new Place();
    const path = join(place.folder, "app.sock");
    await using agent = http(place, `unix:${path}`);
    const url = await agent.line();
    await agent.until("a word about the app", () => agent.stderr.includes(`nothing listens on unix:${path} yet`));
    expect((await visit(url)).headers["ggrok-error"]).toBe("ERR_GGROK_UPSTREAM_REFUSED");
    await using _app = await listen(createServer(mirror), path);
    await agent.until("a word about the app", () => agent.stderr.includes(`unix:${path} accepts connections now`));
    expect(await seen(url, "/a?b")).toMatchObject({ url: "/a?b", host: new URL(url).host });
  });
});

describe("file:// targets", () => {
  it("serve a folder and say nothing of apps", async () => {
    await using place = new Place();
    const site = join(place.cwd, "my site");
    mkdirSync(site);
    writeFileSync(join(site, "index.html"), "<h1>home</h1>");
    writeFileSync(join(place.cwd, "secret.txt"), "secret");
    await using agent = http(place, "--wait", `file://${site.replace(" ", "%20")}`);
    const url = await agent.line();
    expect(await visit(url)).toMatchObject({ status: 200, text: "<h1>home</h1>" });
    for (const path of ["/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt"]) {
      const answer = await visit(url, path);
      expect(answer.status).toBeGreaterThanOrEqual(400);
      expect(answer.text).not.toContain("secret");
    }
    expect(agent.stderr).not.toContain("nothing listens");
  });
});

describe("what is put on and taken off", () => {
  it("follows --host-header, --mount, --strip-prefix and the header rules", async () => {
    await using place = new Place();
    await using main = await App.start(mirror);
    await using api = await App.start((request, response) => response.end(`api ${request.url}`));
    const flags = ["--host-header", "rewrite", "--mount", `/api=${api.port}`, "--strip-prefix"];
    const rules = ["--request-header-add", "X-Added: 1", "--response-header-remove", "x-inside"];
    await using agent = http(place, ...flags, ...rules, "--response-header-add=X-Out: 2", String(main.port));
    const url = await agent.line();
    const local = `localhost:${main.port}`;
    const sent = { origin: url, referer: `${url}/page` };
    expect(await seen(url, "/x", sent)).toMatchObject({
      host: local,
      origin: `http://${local}`,
      referer: `http://${local}/page`,
      added: "1",
    });
    expect(await seen(url, "/x", { origin: "https://evil.test" })).toMatchObject({ origin: "https://evil.test" });
    const { headers } = await visit(url);
    expect(headers).toMatchObject({ location: `${url}/next`, "x-out": "2" });
    expect(headers["x-inside"]).toBeUndefined();
    expect((await visit(url, "/api/y?z")).text).toBe("api /y?z");
  });

  it("turns to the local host for a dev server, says so in one line, and can be told not to", async () => {
    await using place = new Place();
    await using picky = await App.start((request, response) => {
      if (request.headers.host?.startsWith("localhost:")) response.end("welcome");
      else response.writeHead(403).end('Blocked request. This host ("x") is not allowed.');
    });
    await using agent = http(place, String(picky.port));
    const url = await agent.line();
    expect((await visit(url)).text).toBe("welcome");
    expect((await visit(url, "/", { method: "POST", body: "x" })).text).toBe("welcome");
    const line = `Host header: rewritten to localhost:${picky.port} (Vite refuses other hosts). Keep it as it is: --host-header=preserve`;
    await agent.until("the line", () => agent.stderr.includes(line));
    expect(agent.stderr.split("Host header:")).toHaveLength(2);
    await using preserving = http(place, "--host-header=preserve", String(picky.port));
    expect((await visit(await preserving.line())).status).toBe(403);
  });

  it("says of each app behind a path whether it listens", async () => {
    await using place = new Place();
    await using main = await App.start(mirror);
    const port = await freePort();
    await using agent = http(place, "--mount", `/live=${port}`, String(main.port));
    const url = await agent.line();
    await agent.until("a word about the app", () => agent.stderr.includes(`nothing listens on localhost:${port} yet`));
    expect((await visit(url, "/live")).status).toBe(502);
    expect((await visit(url)).status).toBe(200);
  });

  it.each([
    ["--host-header", "a b"],
    ["--mount", "api=3000"],
    ["--mount", "/api=ftp://x"],
    ["--request-header-add", "no colon"],
    ["--response-header-remove", "Transfer-Encoding"],
    ["--upstream-tls-verify", "perhaps"],
  ])("refuses %s %j as a wrong command line", async (flag, value) => {
    await using place = new Place();
    await using agent = http(place, flag, value, "3000");
    expect(await agent.exited).toBe(2);
    expect(agent.stderr).toContain(flag.replace(/-(add|remove)$/, ""));
  });
});

it("are the same for the library", async () => {
  await using place = new Place();
  const before = { ...process.env };
  Object.assign(process.env, place.env);
  try {
    await using main = await App.start(mirror);
    await using api = await App.start((request, response) => response.end(`api ${request.url}`));
    await using tunnel = await forward({
      addr: main.port,
      relay: relay.origin,
      folder: place.cwd,
      retry: false,
      hostHeader: "app.internal",
      mounts: { "/api": api.port },
      stripPrefix: true,
      requestHeaders: { add: ["X-Added: 1"] },
      responseHeaders: { remove: ["X-Inside"] },
    });
    expect(await seen(tunnel.url(), "/x")).toMatchObject({ host: "app.internal", added: "1" });
    expect((await visit(tunnel.url())).headers["x-inside"]).toBeUndefined();
    expect((await visit(tunnel.url(), "/api/y")).text).toBe("api /y");
  } finally {
    process.env = before;
  }
});
