import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { createServer as createTlsServer } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { App, Place, type Program, RelayProcess } from "../e2e/cli-world.ts";
import { ProxyWorld } from "../e2e/proxy-world.ts";
import type { PrivateCa } from "../harness/private-ca.ts";
import { LOGIN, startMicrosocks, startProxyChain } from "./other-proxies.ts";

// A relay that only a proxy can find: its name resolves nowhere else, and its certificate comes from a private authority.
const NAME = "relay.test";
let world: ProxyWorld;
let place: Place;
let relay: RelayProcess;
let app: App;
let ca: PrivateCa;
let tlsPort: number;

beforeAll(async () => {
  world = new ProxyWorld();
  place = new Place();
  app = await App.start((_request, response) => response.end("hello"));
  relay = await RelayProcess.start(["--domain", NAME, "--park", "200ms"]);
  ca = await world.ca();
  const front = createTlsServer(await ca.issue([NAME, "localhost"]), (socket) => {
    const behind = connect(relay.port, "127.0.0.1");
    for (const side of [socket, behind]) side.on("error", () => {});
    world.onEnd(() => {
      socket.destroy();
      behind.destroy();
    });
    socket.pipe(behind).pipe(socket);
  });
  tlsPort = await world.listen(front);
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
  await relay[Symbol.asyncDispose]();
  await app[Symbol.asyncDispose]();
  await place[Symbol.asyncDispose]();
});

/** Set but empty counts as unset: the machine's own settings play no part. */
const NO_SETTINGS = Object.fromEntries(
  ["http_proxy", "https_proxy", "all_proxy", "no_proxy"].flatMap((name) => [
    [name, ""],
    [name.toUpperCase(), ""],
  ]),
);

/** An agent for the relay behind TLS, that gives up instead of trying again. */
function agent(args: readonly string[], env: NodeJS.ProcessEnv = {}): Program {
  const relayUrl = args.includes("--relay") ? [] : ["--relay", `https://${NAME}:${tlsPort}`];
  return place.ggrok(["http", "--json", "--no-retry", ...relayUrl, ...args, String(app.port)], {
    env: { ...NO_SETTINGS, ...env },
  });
}

/** The error an agent ends with, and its exit code. */
async function ending(program: Program): Promise<{ exit: number | string; code: unknown; message: string }> {
  const exit = await program.exited;
  const { code, message } = program.events("error")[0] ?? {};
  return { exit, code, message: `${String(message)}\n${program.stderr}` };
}

describe("the way to the relay", () => {
  it("goes by HTTPS_PROXY with a login, and the proxy resolves the name", async () => {
    const proxy = await startProxyChain(world, { names: { [NAME]: "127.0.0.1" } });
    const env = { HTTPS_PROXY: `http://${LOGIN}@127.0.0.1:${proxy.port}` };
    await using one = agent(["--ca", ca.path], env);
    expect((await one.event("tunnel.online"))["url"]).toContain(NAME);
    expect(proxy.asked).toEqual([`connect ${NAME}:${tlsPort}`]);
    expect(one.stdout + one.stderr).not.toContain("word");
  });

  it("goes by a proxy behind TLS whose authority is in the same bundle", async () => {
    const proxy = await startProxyChain(world, { ...(await ca.issue(["localhost"])), names: { [NAME]: "127.0.0.1" } });
    await using one = agent(["--ca", ca.path, "--proxy", `https://${LOGIN}@localhost:${proxy.port}`]);
    await one.event("tunnel.online");
    expect(proxy.asked).toEqual([`connect ${NAME}:${tlsPort}`]);
  });

  it("goes by a SOCKS5 proxy with a login", async () => {
    const port = await startMicrosocks(world);
    const args = [
      "--relay",
      `https://localhost:${tlsPort}`,
      "--ca",
      ca.path,
      "--proxy",
      `socks5://${LOGIN}@127.0.0.1:${port}`,
    ];
    await using one = agent(args);
    await one.event("tunnel.online");
  });

  it.each(["socks5", "socks5h", "http"])("hands the name to the proxy with %s in ALL_PROXY", async (scheme) => {
    const asked: string[] = [];
    const { listener } = await world.proxy({
      credentials: ["ann:p@ss:word"],
      resolve: async (name) => {
        asked.push(name);
        return [{ address: "127.0.0.1", family: 4 }];
      },
    });
    await using one = agent(["--ca", ca.path], { ALL_PROXY: `${scheme}://${LOGIN}@127.0.0.1:${listener.port}` });
    await one.event("tunnel.online");
    expect(asked).toEqual([NAME]);
  });

  it("passes the proxy by for what NO_PROXY names", async () => {
    const proxy = await startProxyChain(world, { names: { [NAME]: "127.0.0.1" } });
    const env = { HTTPS_PROXY: `http://${LOGIN}@127.0.0.1:${proxy.port}`, NO_PROXY: `example.org, *.test:${tlsPort}` };
    await using one = agent(["--ca", ca.path], env);
    expect(await ending(one)).toMatchObject({ exit: 6, message: expect.stringMatching(/ENOTFOUND|EAI_AGAIN/) });
    expect(proxy.asked).toEqual([]);
  });

  it("names a missing or wrong login as what it is, once, and ends with 3 even when it may retry", async () => {
    const http = await startProxyChain(world, { names: { [NAME]: "127.0.0.1" } });
    const socks = await startMicrosocks(world);
    for (const proxy of [
      `http://127.0.0.1:${http.port}`,
      `http://ann:hunter2@127.0.0.1:${http.port}`,
      `socks5://127.0.0.1:${socks}`,
      `socks5://ann:hunter2@127.0.0.1:${socks}`,
    ]) {
      const args = ["http", "--json", "--relay", `https://${NAME}:${tlsPort}`, "--proxy", proxy, "3000"];
      await using one = place.ggrok(args);
      const { exit, code, message } = await ending(one);
      expect([exit, code], message).toEqual([3, "ERR_GGROK_PROXY_LOGIN_REQUIRED"]);
      expect(message).toMatch(/user name and password/);
      if (proxy.startsWith("http")) expect(message).toContain("407");
      expect(message).not.toContain("hunter2");
    }
    expect(http.asked).toHaveLength(2);
  });

  it("says which schemes a proxy wants that ggrok does not speak", async () => {
    const { port } = await world.tcp((socket) => {
      socket.once("data", () => {
        const fields = "Proxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM\r\nContent-Length: 0";
        socket.end(`HTTP/1.1 407 Proxy Authentication Required\r\n${fields}\r\n\r\n`);
      });
    });
    await using one = agent(["--proxy", `http://ann:pw@127.0.0.1:${port}`]);
    expect((await ending(one)).message).toMatch(/Negotiate, NTLM .*407.*Basic alone/);
  });

  it.each([
    ["a proxy that is not there", "http://127.0.0.1:1", /proxy 127\.0\.0\.1:1 refused/],
    ["a proxy whose name does not resolve", "http://proxy.invalid:3128", /proxy\.invalid does not resolve/],
    ["an http proxy that is none", "SILENT", /did not answer CONNECT/],
    ["a SOCKS proxy that is none", "SOCKS-SILENT", /does not answer as SOCKS5/],
  ])("names %s", async (_what, proxy, expected) => {
    const { port } = await world.tcp((socket) => socket.end());
    const url = proxy
      .replace("SOCKS-SILENT", `socks5://127.0.0.1:${port}`)
      .replace("SILENT", `http://127.0.0.1:${port}`);
    await using one = agent(["--proxy", url]);
    expect(await ending(one)).toMatchObject({ exit: 6, message: expect.stringMatching(expected) });
  });

  it("says what a proxy answered that does not connect", async () => {
    const { listener } = await world.proxy({
      isPublicOnly: true,
      resolve: async () => [{ address: "10.0.0.1", family: 4 }],
    });
    await using one = agent(["--proxy", `http://127.0.0.1:${listener.port}`]);
    expect(await ending(one)).toMatchObject({ exit: 6, message: expect.stringContaining("403 Forbidden") });
  });

  it("is the configuration file's for every command, login too", async () => {
    const proxy = await startProxyChain(world, { names: { [NAME]: "127.0.0.1" } });
    const folder = join(world.folder, "settings");
    mkdirSync(folder);
    copyFileSync(ca.path, join(folder, "company.pem"));
    const config = join(folder, "ggrok.yml");
    writeFileSync(config, `version: 3\nca: company.pem\nproxy: http://${LOGIN}@127.0.0.1:${proxy.port}\n`);
    const relayUrl = `https://${NAME}:${tlsPort}`;
    const token = ["--authtoken", "tok-1234567890"];
    await using login = place.ggrok(["login", relayUrl, "--config", config, ...token]);
    expect(await login.exited, login.stderr).toBe(0);
    await using doctor = place.ggrok(["doctor", "--config", config]);
    expect(await doctor.exited, doctor.stdout).toBe(0);
    await using connector = place.ggrok(["connect", "nobody", "--stdio", "--config", config]);
    expect(await connector.exited).not.toBe(0);
    expect(connector.stderr).toMatch(/its agent is away|only TCP tunnels/);
    expect(proxy.asked.length).toBeGreaterThanOrEqual(4);
    expect(new Set(proxy.asked)).toEqual(new Set([`connect ${NAME}:${tlsPort}`]));
  });

  it.each([
    ["proxy: http://127.0.0.1:1", ["connect", "db", "--stdio"]],
    ["ca: evil.pem", ["connect", "db", "--stdio"]],
    ["proxy: http://127.0.0.1:1", ["doctor"]],
    ["ca: evil.pem", ["proxy", "--url", "exit", "--basic-auth", "a:b"]],
    ["proxy: http://127.0.0.1:1", ["http", "3000"]],
  ])("is nobody's who put %j into a project: %j asks before", async (line, args) => {
    await using elsewhere = new Place();
    writeFileSync(join(elsewhere.cwd, "ggrok.yml"), `version: 3\n${line}\n`);
    await using program = elsewhere.ggrok([...args, "--relay", relay.origin, "--authtoken", "tok-1234567890"]);
    expect(await program.exited, program.stdout + program.stderr).toBe(3);
    expect(program.stderr).toContain("was not confirmed");
  });

  it("asks for --ca where the authority is not known, and says what is wrong with a bundle", async () => {
    const { listener } = await world.proxy({ resolve: async () => [{ address: "127.0.0.1", family: 4 }] });
    const proxy = ["--proxy", `http://127.0.0.1:${listener.port}`];
    await using without = agent(proxy);
    expect(await ending(without)).toMatchObject({ exit: 6, message: expect.stringMatching(/does not trust.*--ca/) });
    await using garbage = agent([...proxy, "--ca", `${import.meta.filename}`]);
    expect(await ending(garbage)).toMatchObject({ exit: 3, message: expect.stringContaining("no certificate in PEM") });
    await using missing = agent([...proxy, "--ca", "/nowhere.pem"]);
    expect(await ending(missing)).toMatchObject({ exit: 3, message: expect.stringContaining("cannot be read") });
  });
});
