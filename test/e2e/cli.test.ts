import { once } from "node:events";
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { App, freePort, Place, RelayProcess, visit } from "./cli-world.ts";

const TOKEN = "tok-1234567890";
const hello = () => App.start((_req, res) => res.end("hello"));

describe("ggrok http", () => {
  it("prints the bare URL alone on standard output, and the URL works", async () => {
    await using relay = await RelayProcess.start();
    await using place = new Place();
    await using app = await hello();
    await using agent = place.ggrok(["http", "--relay", relay.origin, String(app.port)]);
    const url = await agent.line();
    expect(url).toMatch(new RegExp(`^http://[a-z0-9-]+\\.localhost:${relay.port}$`));
    expect(await visit(url)).toMatchObject({ status: 200, text: "hello" });
    agent.kill("SIGINT");
    expect(await agent.exited).toBe(0);
    expect(agent.stdout).toBe(`${url}\n`);
    expect(agent.stderr).toContain("started tunnel");
  });

  it("reaches a relay on this machine past the environment's proxy", async () => {
    await using relay = await RelayProcess.start();
    await using place = new Place();
    const dead = `http://127.0.0.1:${await freePort()}`;
    const env = { HTTP_PROXY: dead, HTTPS_PROXY: dead, ALL_PROXY: dead };
    await using agent = place.ggrok(["http", "--no-retry", "--relay", relay.origin, "3000"], { env });
    expect(await agent.line()).toContain(".localhost:");
  });

  it("keeps the name it was given for the relay and the folder", async () => {
    await using relay = await RelayProcess.start();
    await using place = new Place();
    const urls: string[] = [];
    for (const port of ["3000", "4000"]) {
      await using agent = place.ggrok(["http", "--relay", relay.origin, port]);
      urls.push(await agent.line());
      agent.kill();
      expect(await agent.exited).toBe(0);
    }
    await using elsewhere = place.ggrok(["http", "--relay", relay.origin, "3000"], { cwd: place.folder });
    expect(urls[1]).toBe(urls[0]);
    expect(await elsewhere.line()).not.toBe(urls[0]);
  });

  it("gives a second agent of the same folder an address of its own", async () => {
    await using relay = await RelayProcess.start();
    await using place = new Place();
    await using first = place.ggrok(["http", "--relay", relay.origin, "3000"]);
    const url = await first.line();
    await using second = place.ggrok(["http", "--relay", relay.origin, "4000"]);
    expect(await second.line()).not.toBe(url);
    expect(first.child.exitCode).toBeNull();
  });

  it("writes one JSON object a line, the event first", async () => {
    await using relay = await RelayProcess.start();
    await using place = new Place();
    await using app = await hello();
    await using agent = place.ggrok(["http", "--json", "--relay", relay.origin, "--url", "shop", String(app.port)]);
    const online = await agent.event("tunnel.online");
    const url = `http://shop.localhost:${relay.port}`;
    expect(online).toEqual({
      event: "tunnel.online",
      name: "command_line",
      url,
      target: `http://localhost:${app.port}`,
    });
    await visit(url, "/a?b=%0a", { method: "POST", body: "12345" });
    const request = await agent.event("request");
    expect(request).toMatchObject({ method: "POST", path: "/a?b=%0a", status: 200, bytesIn: 5, bytesOut: 5 });
    expect(request["id"]).toEqual(expect.any(String));
    expect(request["durationMs"]).toEqual(expect.any(Number));
    agent.kill();
    expect(await agent.exited).toBe(0);
    expect(agent.events().map((event) => event["event"])).toEqual([
      "inspector.online",
      "session.connecting",
      "session.online",
      "tunnel.online",
      "request",
      "tunnel.offline",
    ]);
    for (const line of agent.lines) expect(line).toMatch(/^\{"event":"/);
  });

  it("tells scripts the URL in ngrok's shape and a health check whether it is online", async () => {
    await using relay = await RelayProcess.start();
    await using place = new Place();
    await using agent = place.ggrok(["http", "--json", "--relay", relay.origin, "3000"]);
    const online = await agent.event("tunnel.online");
    const { url: web } = agent.events("inspector.online")[0] ?? {};
    const answer = await fetch(`${String(web)}/api/tunnels`);
    expect(answer.headers.get("access-control-allow-origin")).toBeNull();
    expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
    expect(answer.headers.get("content-security-policy")).toContain("default-src 'none'");
    expect(await answer.json()).toMatchObject({
      tunnels: [
        {
          name: "command_line",
          public_url: online["url"],
          proto: "http",
          config: { addr: "http://localhost:3000" },
          metrics: { conns: { count: 0 } },
        },
      ],
      uri: "/api/tunnels",
    });
    expect((await fetch(`${String(web)}/api/status`)).status).toBe(200);
    expect((await fetch(`${String(web)}/api/tunnels`, { headers: { origin: "https://evil.example" } })).status).toBe(
      403,
    );
    await relay[Symbol.asyncDispose]();
    await agent.event("session.reconnecting");
    expect((await fetch(`${String(web)}/api/status`)).status).toBe(503);
  });

  it("stays up while nothing listens, says so, and needs no restart", async () => {
    await using relay = await RelayProcess.start();
    await using place = new Place();
    const port = await freePort();
    await using agent = place.ggrok(["http", "--relay", relay.origin, String(port)]);
    const url = await agent.line();
    await agent.until("a word about the app", () => agent.stderr.includes(`nothing listens on localhost:${port} yet`));
    expect((await visit(url)).status).toBe(502);
    await using app = await App.start((_req, res) => res.end("late"), port);
    expect(app.port).toBe(port);
    await agent.until("a word about the app", () => agent.stderr.includes("accepts connections now"));
    expect(await visit(url)).toMatchObject({ status: 200, text: "late" });
  });

  it("lets an open exchange finish at the first signal", async () => {
    await using relay = await RelayProcess.start();
    await using place = new Place();
    const gate = Promise.withResolvers<void>();
    const arrived = Promise.withResolvers<void>();
    await using app = await App.start((_req, res) => {
      arrived.resolve();
      void gate.promise.then(() => res.end("whole"));
    });
    await using agent = place.ggrok(["http", "--json", "--relay", relay.origin, String(app.port)]);
    const { url } = await agent.event("tunnel.online");
    const answer = visit(String(url));
    await arrived.promise;
    agent.kill("SIGTERM");
    await relay.program.event("endpoint.released");
    expect(agent.child.exitCode).toBeNull();
    gate.resolve();
    expect(await answer).toMatchObject({ status: 200, text: "whole" });
    expect(await agent.exited).toBe(0);
  });

  it("ends at once with 1 at the second signal", async () => {
    await using relay = await RelayProcess.start();
    await using place = new Place();
    const arrived = Promise.withResolvers<void>();
    await using app = await App.start(() => arrived.resolve());
    await using agent = place.ggrok(["http", "--json", "--relay", relay.origin, String(app.port)]);
    const { url } = await agent.event("tunnel.online");
    // Nobody waits for this answer: the relay ends it when the test is over.
    void visit(String(url)).catch(() => {});
    await arrived.promise;
    agent.kill("SIGINT");
    await relay.program.event("endpoint.released");
    agent.kill("SIGINT");
    expect(await agent.exited).toBe(1);
  });

  it("prints no URL before the app accepts connections, with --wait", async () => {
    await using relay = await RelayProcess.start();
    await using place = new Place();
    const port = await freePort();
    await using late = place.ggrok(["http", "--wait=300ms", "--relay", relay.origin, String(port)]);
    expect(await late.exited).toBe(7);
    expect(late.stdout).toBe("");
    await using agent = place.ggrok(["http", "--wait", "--relay", relay.origin, String(port)]);
    await using app = await App.start((_req, res) => res.end("ok"), port);
    expect((await visit(await agent.line())).text).toBe("ok");
    expect(app.port).toBe(port);
  });

  it("starts a relay of its own with --local and takes it along at the end", async () => {
    await using place = new Place();
    await using app = await hello();
    const bin = join(place.cwd, "node_modules", ".bin");
    mkdirSync(bin, { recursive: true });
    const source = new URL("../../packages/server/src/bin.ts", import.meta.url).pathname;
    writeFileSync(
      join(bin, "ggrok-relay"),
      // The first time somebody else has the port, between the look at it and the start.
      `#!/bin/sh
if mkdir "${place.folder}/once" 2>/dev/null; then echo "listen EADDRINUSE" >&2; exit 1; fi
exec "${process.execPath}" --conditions=ggrok-source "${source}" "$@"
`,
      { mode: 0o755 },
    );
    await using agent = place.ggrok(["http", "--local", String(app.port)]);
    const url = await agent.line();
    expect(url).toMatch(/^http:\/\/[a-z0-9-]+\.localhost:\d+$/);
    expect(await visit(url)).toMatchObject({ status: 200, text: "hello" });
    agent.kill();
    expect(await agent.exited).toBe(0);
    await expect(visit(url)).rejects.toThrow(/ECONNREFUSED/);
  });
});

describe("exit codes", () => {
  it.each([
    [["http", "3000", "--frobnicate"]],
    [["http"]],
    [["http", "not a target", "--relay", "x.example"]],
    [["http", "3000", "--relay", "http://relay.example"]],
    [["http", "3000", "--timeout", "soon"]],
    [["http", "3000", "--url", "a", "--domain", "b"]],
    [["http", "3000", "--inspect", "maybe"]],
    [["frobnicate"]],
    [["share", "22"]],
    [[]],
  ])("are 2 for the command line %j", async (args) => {
    await using place = new Place();
    await using agent = place.ggrok(args);
    expect(await agent.exited).toBe(2);
    expect(agent.stdout).toBe("");
    expect(agent.stderr).not.toBe("");
    expect(agent.stderr).not.toContain("\\n");
  });

  it("are 3 where no relay is set, with the three ways in", async () => {
    await using place = new Place();
    await using agent = place.ggrok(["http", "3000"]);
    expect(await agent.exited).toBe(3);
    expect(agent.stderr).toMatch(/ggrok login RELAY[\s\S]*@ggrok\/server[\s\S]*--local/);
  });

  it("are 3 for a configuration file with an unknown key, which is named with its line", async () => {
    await using place = new Place();
    writeFileSync(join(place.cwd, "mine.yml"), "version: 3\nrelai: x\n");
    await using agent = place.ggrok(["http", "--config", "mine.yml", "3000"]);
    expect(await agent.exited).toBe(3);
    expect(agent.stderr).toContain('mine.yml:2: unknown key "relai"');
  });

  it("are 4 for a refused token", async () => {
    await using relay = await RelayProcess.start(["--domain", "localhost", "--token", TOKEN]);
    await using place = new Place();
    await using agent = place.ggrok(["http", "--relay", relay.origin, "--authtoken", "wrong", "3000"]);
    expect(await agent.exited).toBe(4);
    expect(agent.stdout).toBe("");
  });

  it("are 5 for a name that cannot be had here", async () => {
    await using relay = await RelayProcess.start();
    await using place = new Place();
    await using agent = place.ggrok([
      "http",
      "--json",
      "--relay",
      relay.origin,
      "--url",
      "https://hooks.acme.example",
      "3000",
    ]);
    expect(await agent.exited).toBe(5);
    expect(agent.events("error")).toMatchObject([{ code: "ERR_GGROK_NAME_NOT_ALLOWED" }]);
  });

  it("are 6 for a relay that cannot be reached, with --no-retry", async () => {
    await using place = new Place();
    await using agent = place.ggrok(["http", "--no-retry", "--relay", `http://localhost:${await freePort()}`, "3000"]);
    expect(await agent.exited).toBe(6);
    expect(agent.stderr).toContain("ECONNREFUSED");
  });

  it("are 8 where the relay speaks no version of ours", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    server.on("upgrade", (_req, socket) => {
      const body = JSON.stringify({
        code: "ERR_GGROK_VERSION_UNSUPPORTED",
        message: "only newer agents",
        supported: ["ggrok.v9"],
      });
      socket.end(`HTTP/1.1 426 Upgrade Required\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`);
    });
    await once(server, "listening");
    await using place = new Place();
    await using agent = place.ggrok([
      "http",
      "--relay",
      `http://localhost:${(server.address() as AddressInfo).port}`,
      "3000",
    ]);
    expect(await agent.exited).toBe(8);
    expect(agent.stderr).toMatch(/ggrok\.v1.*ggrok\.v9/);
    server.close();
  });
});

describe("ggrok login", () => {
  it.each([
    ["--authtoken", ["--authtoken", TOKEN], undefined],
    ["standard input", [], `${TOKEN}\n`],
  ])("proves a token given by %s and stores it for this relay alone", async (_how, args, stdin) => {
    await using relay = await RelayProcess.start(["--domain", "localhost", "--token", TOKEN]);
    await using place = new Place();
    await using login = place.ggrok(["login", relay.origin, ...args], stdin === undefined ? {} : { stdin });
    expect(await login.exited).toBe(0);
    expect(statSync(place.configPath).mode & 0o777).toBe(0o600);
    expect(readFileSync(place.configPath, "utf8")).toContain(TOKEN);
    await using agent = place.ggrok(["http", "3000"]);
    expect(await agent.line()).toContain(`.localhost:${relay.port}`);
    agent.kill();
    await agent.exited;
    await using other = await RelayProcess.start(["--domain", "localhost", "--token", TOKEN]);
    await using refused = place.ggrok(["http", "--relay", other.origin, "3000"]);
    expect(await refused.exited).toBe(4);
  });

  it("stores nothing that the relay refuses", async () => {
    await using relay = await RelayProcess.start(["--domain", "localhost", "--token", TOKEN]);
    await using place = new Place();
    await using login = place.ggrok(["login", relay.origin, "--authtoken", "wrong"]);
    expect(await login.exited).toBe(4);
    expect(() => statSync(place.configPath)).toThrow(/ENOENT/);
  });

  it("ends with 6 when there is no relay, and with 3 when there is no token", async () => {
    await using place = new Place();
    await using login = place.ggrok(["login", `http://localhost:${await freePort()}`, "--authtoken", TOKEN]);
    expect(await login.exited).toBe(6);
    await using empty = place.ggrok(["login", "https://relay.example"], { stdin: "" });
    expect(await empty.exited).toBe(3);
  });
});

describe("ggrok config", () => {
  it("stores relay and token without asking the relay, keeps comments, and checks", async () => {
    await using place = new Place();
    const run = async (...args: string[]) => {
      await using program = place.ggrok(["config", ...args]);
      return { code: await program.exited, out: program.stdout, err: program.stderr };
    };
    expect(await run("path")).toMatchObject({ code: 0, out: `${place.configPath}\n` });
    expect((await run("add-authtoken", TOKEN)).code).toBe(3);
    expect((await run("set-relay", "relay.example.com")).code).toBe(0);
    expect((await run("add-authtoken", TOKEN)).code).toBe(0);
    expect(readFileSync(place.configPath, "utf8")).toBe(
      `version: 3\nrelay: https://relay.example.com\ntokens:\n  https://relay.example.com: ${TOKEN}\n`,
    );
    expect((await run("check")).out).toContain(`Valid configuration file at ${place.configPath}`);
    writeFileSync(place.configPath, "relay: x\n\nagent:\n  autotoken: 1\n", { mode: 0o600 });
    const broken = await run("check");
    expect(broken.code).toBe(3);
    expect(broken.err).toContain(`${place.configPath}:4: unknown key "agent.autotoken"`);
  });
});

describe("a project's file", () => {
  it("is not believed without a question, and never gets the environment's token", async () => {
    await using relay = await RelayProcess.start(["--domain", "localhost", "--token", TOKEN]);
    await using place = new Place();
    writeFileSync(join(place.cwd, "ggrok.yml"), `relay: ${relay.origin}\n`);
    await using agent = place.ggrok(["http", "3000"], { env: { GGROK_AUTHTOKEN: TOKEN } });
    expect(await agent.exited).toBe(3);
    expect(agent.stderr).toContain("was not confirmed");
    expect(relay.program.stdout).not.toContain("session.online");
    await using meant = place.ggrok(["http", "3000"], { env: { GGROK_AUTHTOKEN: TOKEN, GGROK_RELAY: relay.origin } });
    expect(await meant.line()).toContain(".localhost:");
  });
});

describe("ggrok version and status", () => {
  it("print what they know", async () => {
    await using place = new Place();
    await using version = place.ggrok(["version"]);
    expect(await version.exited).toBe(0);
    expect(version.stdout).toMatch(/^ggrok version \d+\.\d+\.\d+/);
    await using relay = await RelayProcess.start();
    await using agent = place.ggrok(["http", "--json", "--relay", relay.origin, "3000"]);
    const { url } = await agent.event("tunnel.online");
    const web = String(agent.events("inspector.online")[0]?.["url"]).replace("http://", "");
    await using status = place.ggrok(["status", "--web-addr", web]);
    expect(await status.exited).toBe(0);
    expect(status.stdout).toContain(String(url));
    agent.kill();
    await agent.exited;
    await using nobody = place.ggrok(["status", "--web-addr", web]);
    expect(await nobody.exited).toBe(1);
  });
});
