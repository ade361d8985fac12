import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { connect } from "node:net";
import { dirname, join } from "node:path";
import { createServer as createTlsServer } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { HOPS } from "../../packages/client/src/doctor/finding.ts";
import { App, Place, type Program, RelayProcess } from "../e2e/cli-world.ts";
import { curl, ProxyWorld } from "../e2e/proxy-world.ts";
import { readSections, sectionRows } from "../harness/doc-tables.ts";
import type { PrivateCa } from "../harness/private-ca.ts";
import { LOGIN, startMicrosocks, startProxyChain } from "./other-proxies.ts";

// The commands of two pages, run as they stand there, but for hosts, ports and logins of this test's world.
const TOKEN = "tok-1234567890";
const RELAY = "relay.test";
let world: ProxyWorld;
let place: Place;
let relay: RelayProcess;
let app: App;
let ca: PrivateCa;
let securePort: number;
let chain: { port: number; asked: string[] };
let socksPort: number;

beforeAll(async () => {
  world = new ProxyWorld();
  place = new Place({ PROXY_LOGIN: "bob:a b\nann:s3cret\n" });
  app = await App.start((_request, response) => response.end("hello"));
  relay = await RelayProcess.start(["--domain", RELAY, "--public-url", "http://localhost", "--token", TOKEN]);
  ca = await world.ca();
  const identity = await ca.issue(["localhost", RELAY]);
  securePort = (await world.https(identity, (_request, response) => response.end("hello"))).port;
  chain = await startProxyChain(world, { names: { [RELAY]: "127.0.0.1" } });
  socksPort = await startMicrosocks(world);
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
  await relay[Symbol.asyncDispose]();
  await app[Symbol.asyncDispose]();
  await place[Symbol.asyncDispose]();
});

/** The commands in the `sh` blocks of a page, below each heading. */
function commandsOf(page: string): Map<string, string[]> {
  const text = readFileSync(new URL(`../../docs/${page}`, import.meta.url), "utf8");
  const sections = text.split(/^## /m).slice(1);
  const read = (section: string): string[] =>
    [...section.matchAll(/^```sh\n(.*?)^```$/gms)].flatMap((block) => (block[1] ?? "").split("\n").filter(Boolean));
  return new Map(
    sections
      .map((section) => [section.slice(0, section.indexOf("\n")), read(section)] as const)
      .filter(([, commands]) => commands.length > 0),
  );
}

/** A command line as a shell would split it; single quotes are all the pages use. */
function split(command: string): string[] {
  return [...command.matchAll(/'([^']*)'|(\S+)/g)].map((match) => match[1] ?? match[2] ?? "");
}

const replaced = (text: string, pairs: Readonly<Record<string, string>>): string =>
  Object.entries(pairs).reduce((result, [from, to]) => result.replaceAll(from, to), text);

/** Starts a `ggrok` command that stays, on a free port instead of the page's. */
async function start(command: string, env: NodeJS.ProcessEnv, listening: string): Promise<[Program, string]> {
  const args = split(command.replace("127.0.0.1:3128", "127.0.0.1:0")).slice(1);
  const program = place.ggrok([...args, "--json"], { env });
  world.onEnd(() => program[Symbol.asyncDispose]());
  const { url } = await program.event(listening);
  return [program, new URL(String(url)).host];
}

describe("docs/proxy.md", () => {
  const commands = commandsOf("proxy.md");

  it("has commands where this test looks for them", () => {
    expect([...commands].map(([heading, { length }]) => [heading, length])).toEqual([
      ["On this machine", 4],
      ["Another machine as the way out", 4],
      ["Through another proxy", 3],
    ]);
  });

  /** Runs the page's `curl` commands through the proxy at an address. */
  async function fetchAll(lines: readonly string[], address: string): Promise<void> {
    for (const line of lines) {
      const here = replaced(line, {
        "127.0.0.1:3128": address,
        "http://example.com": `http://localhost:${app.port}`,
        "https://example.com": `https://localhost:${securePort}`,
        "http://intranet.example.com": `http://localhost:${app.port}`,
        "https://intranet.example.com": `https://localhost:${securePort}`,
      });
      const { out, err } = await curl(...split(here).slice(1), "--cacert", ca.path);
      expect(out, `${here}: ${err}`).toBe("hello");
    }
  }

  it("serves this machine", async () => {
    const [serve = "", ...curls] = commands.get("On this machine") ?? [];
    const [, address] = await start(serve, {}, "proxy.online");
    await fetchAll(curls, address);
  });

  it("makes a machine the way out", async () => {
    const [exit = "", connector = "", ...curls] = commands.get("Another machine as the way out") ?? [];
    const env = { GGROK_RELAY: relay.origin, GGROK_AUTHTOKEN: TOKEN };
    await start(exit, env, "tunnel.online");
    const [, address] = await start(connector, env, "connect.listening");
    await fetchAll(curls, address);
  });

  it("hands on to other proxies, all of it or by rules", async () => {
    const [http = "", socks = "", rules = ""] = commands.get("Through another proxy") ?? [];
    const others = {
      "http://ann:s3cret@proxy.example.com:3128": `http://${LOGIN}@127.0.0.1:${chain.port}`,
      "socks5://ann:s3cret@proxy.example.com:1080": `socks5://${LOGIN}@127.0.0.1:${socksPort}`,
      "*.corp.example.com": "127.*",
      "*:8443=socks5://proxy.example.com:1080": `*:${securePort}=socks5://${LOGIN}@127.0.0.1:${socksPort}`,
    };
    const env = { UPSTREAM: `http://${LOGIN}@127.0.0.1:${chain.port}` };
    const listen = " --listen 127.0.0.1:0";
    const get = async (address: string, url: string): Promise<void> => {
      const { out, err } = await curl("-x", `http://${address}`, "--cacert", ca.path, url);
      expect(out, err).toBe("hello");
    };
    const plain = `http://localhost:${app.port}/`;
    const secure = `https://localhost:${securePort}/`;
    chain.asked.length = 0;
    const [, byHttp] = await start(replaced(http, others) + listen, env, "proxy.online");
    await get(byHttp, plain);
    await get(byHttp, secure);
    expect(chain.asked).toEqual([`http localhost:${app.port}`, `connect localhost:${securePort}`]);
    const [, bySocks] = await start(replaced(socks, others) + listen, env, "proxy.online");
    await get(bySocks, plain);
    const [, byRules] = await start(replaced(rules, others) + listen, env, "proxy.online");
    await get(byRules, plain.replace("localhost", "127.0.0.1"));
    await get(byRules, secure);
    expect(chain.asked).toHaveLength(2);
    await get(byRules, plain);
    expect(chain.asked).toHaveLength(3);
  });
});

describe("docs/company-networks.md", async () => {
  const commands = commandsOf("company-networks.md");
  const sections = await readSections("company-networks.md");
  let tlsPort: number;

  beforeAll(async () => {
    const front = createTlsServer(await ca.issue([RELAY, "localhost"]), (socket) => {
      const behind = connect(relay.port, "127.0.0.1");
      for (const side of [socket, behind]) side.on("error", () => {});
      world.onEnd(() => behind.destroy());
      socket.pipe(behind).pipe(socket);
    });
    tlsPort = await world.listen(front);
    copyFileSync(ca.path, join(place.cwd, "company-ca.pem"));
  });

  /** The user's file: an authority, or a proxy that nobody answers at. */
  async function configure(text: string): Promise<void> {
    await mkdir(dirname(place.configPath), { recursive: true });
    writeFileSync(place.configPath, text);
  }

  /** Runs a command of the page, through the proxies of this world, to an app of this world. */
  function run(command: string, host: string, env: NodeJS.ProcessEnv = {}): Program {
    const here = replaced(command, {
      "http://ann:s3cret@proxy.example.com:3128": `http://${LOGIN}@127.0.0.1:${chain.port}`,
      "socks5://ann:s3cret@proxy.example.com:1080": `socks5://${LOGIN}@127.0.0.1:${socksPort}`,
      " 3000": ` ${app.port}`,
    });
    const args = split(here).slice(1);
    const json = args[0] === "http" ? ["--json"] : [];
    const program = place.ggrok([...args, ...json], {
      env: { GGROK_RELAY: `https://${host}:${tlsPort}`, GGROK_AUTHTOKEN: TOKEN, ...env },
    });
    world.onEnd(() => program[Symbol.asyncDispose]());
    return program;
  }

  it("has commands where this test looks for them, and every hop in its order", () => {
    expect([...commands].map(([heading, { length }]) => [heading, length])).toEqual([
      ["A proxy on the way out", 5],
      ["An inspection of TLS, or a private authority", 1],
      ["Finding the hop that fails", 3],
    ]);
    expect(sectionRows(sections, "Finding the hop that fails").map((row) => row["hop"])).toEqual([...HOPS]);
  });

  it("goes out by the environment, by a flag of either kind, and by none", async () => {
    const [variable = "", plain = "", http = "", socks = "", none = ""] = commands.get("A proxy on the way out") ?? [];
    await configure(`version: 3\nca: ${ca.path}\n`);
    const [name = "", value = ""] = replaced(variable.replace("export ", ""), {
      "ann:s3cret@proxy.example.com:3128": `${LOGIN}@127.0.0.1:${chain.port}`,
    }).split(/=(.*)/s);
    chain.asked.length = 0;
    await run(plain, RELAY, { [name]: value }).event("tunnel.online");
    expect(chain.asked).toEqual([`connect ${RELAY}:${tlsPort}`]);
    await run(http, RELAY).event("tunnel.online");
    expect(chain.asked).toHaveLength(2);
    await run(socks, "localhost").event("tunnel.online");
    await configure(`version: 3\nca: ${ca.path}\nproxy: http://127.0.0.1:1\n`);
    await run(none, "localhost").event("tunnel.online");
    expect(chain.asked).toHaveLength(2);
  });

  it("trusts the authority it is given", async () => {
    await configure("version: 3\n");
    const [command = ""] = commands.get("An inspection of TLS, or a private authority") ?? [];
    await run(command, "localhost").event("tunnel.online");
  });

  it("finds nothing that fails, for people and for scripts", async () => {
    await configure(`version: 3\nca: ${ca.path}\nproxy: http://${LOGIN}@127.0.0.1:${chain.port}\n`);
    for (const command of commands.get("Finding the hop that fails") ?? []) {
      const doctor = run(command, RELAY);
      expect(await doctor.exited, doctor.stdout + doctor.stderr).toBe(0);
      if (command.includes("--json")) expect(JSON.parse(doctor.stdout)).toMatchObject({ ok: true, failed: null });
      else expect(doctor.stdout).toContain("\nNothing fails");
    }
  });
});
