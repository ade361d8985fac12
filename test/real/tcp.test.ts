import { createHash, randomBytes } from "node:crypto";
import { createReadStream, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { userInfo } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { connect as connectTls, createServer as createTlsServer } from "node:tls";
import { createConnection } from "ggrok";
import { AbstractConnector, Redis } from "ioredis";
import { createConnection as connectMysql } from "mysql2/promise";
import { Client, Pool } from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Place, type Program, RelayProcess } from "../e2e/cli-world.ts";
import { within } from "../harness/deadline.ts";
import { runScript, type ScriptResult } from "../harness/doc-script.ts";
import { PrivateCa } from "../harness/private-ca.ts";
import { DATABASE_LOGIN, TcpServers } from "./tcp-servers.ts";

// Other people's servers, reached by other people's clients: the commands of docs/tcp.md as they stand there, but for ports,
// logins and files of this test, and the drivers its table names.
const TOKEN = "tok-1234567890";
const COPIED_BYTES = 100_000_000;
const START_MS = 120_000;

const servers = new TcpServers();
const programs: Program[] = [];
let place: Place;
let relay: RelayProcess;

beforeAll(async () => {
  relay = await RelayProcess.start(["--domain", "localhost", "--token", TOKEN]);
  place = new Place({ GGROK_RELAY: relay.origin, GGROK_AUTHTOKEN: TOKEN });
  for (const name of ["XDG_STATE_HOME", "XDG_CONFIG_HOME"]) process.env[name] = place.env[name];
}, START_MS);
afterAll(async () => {
  for (const program of programs) await program[Symbol.asyncDispose]();
  await servers[Symbol.asyncDispose]();
  await relay[Symbol.asyncDispose]();
  await place[Symbol.asyncDispose]();
});

/** The lines of the page's `sh` blocks below a heading. */
function commandsOf(heading: string): string[] {
  const page = readFileSync(new URL("../../docs/tcp.md", import.meta.url), "utf8");
  const section = page.split(/^## /m).find((text) => text.startsWith(`${heading}\n`)) ?? "";
  return [...section.matchAll(/^```sh\n(.*?)^```$/gms)].flatMap(([, block = ""]) => block.split("\n").filter(Boolean));
}

/** Starts a `ggrok` command of the page that stays; resolves with the port it tells, if any. */
async function start(line: string): Promise<number> {
  const args = line
    .replace(/--listen \S+/, "--listen 127.0.0.1:0")
    .split(" ")
    .slice(1);
  const web = args[0] === "tcp" ? ["--web-addr", "false"] : [];
  const program = place.ggrok([...args, ...web]);
  programs.push(program);
  return Number(/:(\d+)$/.exec(await program.line())?.[1]);
}

/** Puts a tunnel in front of a server, as the page's first line says; its folder makes it an agent of its own. */
async function expose(line: string, port: number): Promise<void> {
  mkdirSync(join(place.cwd, String(port)));
  const program = place.ggrok([...line.replace(/ \d+ /, ` ${port} `).split(" ").slice(1), "--web-addr", "false"], {
    cwd: join(place.cwd, String(port)),
  });
  programs.push(program);
  expect(await program.line()).toMatch(/^tcp:\/\/\w+\.localhost$/);
}

async function run(line: string, replaced: Readonly<Record<string, string>>): Promise<ScriptResult> {
  return await within(line, runScript(line, place.env, replaced), START_MS);
}

const viaTunnel = (name: string) => createConnection({ relay: relay.origin, token: TOKEN, name, timeoutMs: 60_000 });

describe("PostgreSQL through a TCP tunnel", () => {
  const [tunnel = "", connector = "", psql = ""] = commandsOf("PostgreSQL");

  beforeAll(async () => {
    const { port } = await servers.postgres();
    await expose(tunnel, port);
  }, START_MS);

  it("is used by pg over createConnection", async () => {
    const client = new Client({ user: "ann", database: "postgres", stream: () => viaTunnel("db") });
    await client.connect();
    await client.query("create database shop");
    const big = "x".repeat(3_000_000);
    const { rows } = await client.query<{ big: string; n: number }>("select $1::text as big, 6 * 7 as n", [big]);
    expect(rows).toEqual([{ big, n: 42 }]);
    await client.end();
  });

  it("is used by a pool of pg's connections", async () => {
    const pool = new Pool({ user: "ann", database: "postgres", max: 10, stream: () => viaTunnel("db") });
    const all = await Promise.all(
      Array.from({ length: 200 }, (_none, n) => pool.query<{ n: number }>("select $1::int as n", [n])),
    );
    expect(all.map(({ rows }) => rows[0]?.n)).toEqual(Array.from({ length: 200 }, (_none, n) => n));
    expect(pool.totalCount).toBe(10);
    await pool.end();
  });

  it("is used by psql over ggrok connect", async () => {
    const port = await start(connector);
    const { code, out, err } = await run(psql, { "15432": `${port}` });
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(out).toContain("answer \n--------\n     42\n");
  });
});

describe("Redis through a TCP tunnel", () => {
  const [tunnel = "", connector = "", ...clis] = commandsOf("Redis");

  beforeAll(async () => {
    const { port } = await servers.redis();
    await expose(tunnel, port);
  }, START_MS);

  it("is used by redis-cli over ggrok connect, pipelined too", async () => {
    const port = await start(connector);
    const results = [];
    for (const cli of clis) results.push(await run(cli, { "16379": `${port}` }));
    expect(results).toEqual([
      { code: 0, out: "OK\n", err: "" },
      { code: 0, out: "hello\n", err: "" },
    ]);
    const piped = await run(`seq 50000 | sed 's/.*/SET key-& value-&/' | redis-cli -p ${port} --pipe`, {});
    expect(piped.out).toContain("errors: 0, replies: 50000");
  });

  it("is used by ioredis over createConnection", async () => {
    class TunnelConnector extends AbstractConnector {
      constructor() {
        super(0);
      }
      connect() {
        this.connecting = true;
        this.stream = viaTunnel("cache") as never;
        return Promise.resolve(this.stream);
      }
    }
    const redis = new Redis({
      Connector: TunnelConnector as never,
      maxRetriesPerRequest: 0,
      retryStrategy: () => null,
    });
    const pipeline = redis.pipeline();
    for (let n = 0; n < 10_000; n += 1) pipeline.incr("counter");
    const answers = await pipeline.exec();
    expect(answers?.at(-1)).toEqual([null, 10_000]);
    const value = randomBytes(2_000_000);
    await redis.set("blob", value);
    expect((await redis.getBuffer("blob"))?.equals(value)).toBe(true);
    redis.disconnect();
  });
});

describe("MariaDB through a TCP tunnel", () => {
  const [tunnel = "", connector = "", cli = ""] = commandsOf("MySQL and MariaDB");

  beforeAll(async () => {
    const { port } = await servers.mariadb();
    await expose(tunnel, port);
  }, START_MS);

  it("is used by mysql2 over createConnection", async () => {
    const client = await connectMysql({ ...DATABASE_LOGIN, stream: () => viaTunnel("sql") });
    const [rows] = await client.query("select 6 * 7 as answer, repeat('x', 1000000) as big");
    expect(rows).toEqual([{ answer: 42, big: "x".repeat(1_000_000) }]);
    await client.end();
  });

  it("is used by its own client over ggrok connect", async () => {
    const port = await start(connector);
    const { code, out, err } = await run(cli, { "13306": `${port}` });
    expect({ code, out, err }).toEqual({ code: 0, out: "answer\n42\n", err: "" });
  });
});

describe("OpenSSH through a TCP tunnel", () => {
  const [tunnel = "", ssh = "", scp = ""] = commandsOf("ssh");
  let replaced: Record<string, string>;

  beforeAll(async () => {
    const { port, key } = await servers.sshd();
    await expose(tunnel, port);
    const options = [
      "IdentitiesOnly=yes",
      "StrictHostKeyChecking=no",
      "UserKnownHostsFile=/dev/null",
      "LogLevel=ERROR",
    ];
    const login = ["-F", "/dev/null", "-i", key, ...options.flatMap((option) => ["-o", option])].join(" ");
    replaced = { "-o ProxyCommand": `${login} -o ProxyCommand`, "ann@": `${userInfo().username}@` };
  }, START_MS);

  it("runs a command with ggrok connect as its ProxyCommand", async () => {
    expect(await run(ssh, replaced)).toEqual({ code: 0, out: "hello\n", err: "" });
  });

  it("copies 100 MB byte for byte", async () => {
    const from = join(place.folder, "backup.tar");
    writeFileSync(from, randomBytes(COPIED_BYTES));
    const target = join(place.folder, "backups");
    mkdirSync(target);
    const { code, err } = await run(scp, { ...replaced, "backup.tar": from, "laptop:backups/": `laptop:${target}/` });
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(await digest(join(target, "backup.tar"))).toBe(await digest(from));
  });
});

async function digest(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}

describe("TLS inside a TCP tunnel", () => {
  it("is spoken by tls.connect, which checks the certificate of the service", async () => {
    const ca = await PrivateCa.create(place.folder);
    const identity = await ca.issue(["secret.test"]);
    const server = createTlsServer(identity, (socket) => socket.on("error", () => {}).end("only for you"));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    await expose("ggrok tcp 443 --url vault", typeof address === "object" ? (address?.port ?? 0) : 0);
    const socket = connectTls({ socket: viaTunnel("vault"), servername: "secret.test", ca: readFileSync(ca.path) });
    let text = "";
    for await (const chunk of socket) text += String(chunk);
    expect(text).toBe("only for you");
    expect(socket.authorized).toBe(true);
    await new Promise((resolve) => server.close(resolve));
  });
});
