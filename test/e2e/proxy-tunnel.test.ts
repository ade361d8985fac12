import { createHash, randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import type { Socket } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually, within } from "../harness/deadline.ts";
import { Place, type Program, RelayProcess } from "./cli-world.ts";
import { curl, ProxyWorld } from "./proxy-world.ts";

// The proxy of one machine as the way out for another: relay, agent and connector as real processes, curl as the client.
const TOKEN = "tok-1234567890";
const LOGIN = "ann:s3cret";
let world: ProxyWorld;
let place: Place;
let relay: RelayProcess;
let plainUrl: string;
let secureUrl: string;
let caPath: string;

beforeAll(async () => {
  world = new ProxyWorld();
  place = new Place();
  const first = 22_000 + (process.pid % 300) * 10;
  relay = await RelayProcess.start(["--domain", "localhost", "--token", TOKEN, "--tcp-ports", `${first}-${first + 9}`]);
  const ca = await world.ca();
  caPath = ca.path;
  plainUrl = `http://localhost:${(await world.http((request, response) => request.pipe(response))).port}`;
  const identity = await ca.issue(["localhost"]);
  secureUrl = `https://localhost:${(await world.https(identity, (request, response) => request.pipe(response))).port}`;
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
  await relay[Symbol.asyncDispose]();
  await place[Symbol.asyncDispose]();
});

/** The exit: `ggrok proxy --url`. */
function exit(...args: string[]): Program {
  return place.ggrok(["proxy", "--json", "--relay", relay.origin, "--authtoken", TOKEN, ...args]);
}

/** The way to it: `ggrok connect NAME --listen`. */
async function connector(name: string): Promise<{ program: Program; address: string }> {
  const program = place.ggrok([
    ...["connect", name, "--json", "--listen", "127.0.0.1:0", "--relay", relay.origin, "--authtoken", TOKEN],
  ]);
  const { url } = await program.event("connect.listening");
  return { program, address: String(url).replace("tcp://", "") };
}

/** The raw port that the relay gave a tunnel. */
async function publicPort(program: Program): Promise<number> {
  const ports = (): string[] =>
    program.events("tunnel.online").flatMap(({ url }) => /^tcp:\/\/.*:(\d+)$/.exec(String(url))?.[1] ?? []);
  await program.until("a public port", () => ports().length > 0);
  return Number(ports().at(-1));
}

describe("ggrok proxy --url", () => {
  it("is the way out for curl by name: http and https targets, over HTTP and SOCKS5, to the byte", async () => {
    await using proxy = exit("--url", "exit", "--basic-auth", LOGIN, "--allow-private");
    expect(await proxy.event("tunnel.online")).toMatchObject({
      name: "command_line",
      target: "proxy",
      url: "tcp://exit.localhost",
    });
    const { program, address } = await connector("exit");
    await using _connector = program;
    const body = randomBytes(2_000_000).toString("hex");
    const file = join(world.folder, "body");
    writeFileSync(file, body);
    for (const scheme of ["http", "socks5h", "socks5"]) {
      for (const target of [plainUrl, secureUrl]) {
        const args = ["-x", `${scheme}://${LOGIN}@${address}`, "--cacert", caPath, "--data-binary", `@${file}`, target];
        const { out, err } = await curl(...args);
        expect(out === body, `${scheme} ${target}: ${err}`).toBe(true);
      }
    }
    await eventually(
      () => `six requests, there are ${proxy.events("request").length}`,
      () => proxy.events("request").length === 6,
    );
    expect(proxy.events("request")[0]).toMatchObject({ protocol: "http", status: 200, bytesIn: body.length });
    expect(proxy.stdout + proxy.stderr + program.stdout + program.stderr).not.toMatch(/s3cret|tok-1234/);
  });

  it("wants its own login even of those who hold the relay's token", async () => {
    await using proxy = exit("--url", "exit", "--basic-auth", LOGIN, "--allow-private");
    await proxy.event("tunnel.online");
    const { program, address } = await connector("exit");
    await using _connector = program;
    const status = ["-o", "/dev/null", "-w", "%{http_code}"];
    for (const login of ["", "ann:wrong@"]) {
      expect((await curl(...status, "-x", `http://${login}${address}`, plainUrl)).out).toBe("407");
      expect((await curl("-x", `socks5h://${login}${address}`, plainUrl)).code).toBe(97);
      expect((await curl("-x", `http://${login}${address}`, secureUrl)).err).toMatch(/407/);
    }
  });

  it("keeps strangers from the private network behind it, by address and by name", async () => {
    await using proxy = exit("--url", "exit", "--basic-auth", LOGIN);
    await proxy.event("tunnel.online");
    const { program, address } = await connector("exit");
    await using _connector = program;
    const { port } = new URL(plainUrl);
    for (const host of ["127.0.0.1", "localhost", "app.localhost", "127.1", "[::1]", "[::ffff:7f00:1]"]) {
      const { out } = await curl("-D", "-", "-x", `http://${LOGIN}@${address}`, `http://${host}:${port}/`);
      expect(out, host).toMatch(/^HTTP\/1.1 403 [\s\S]*ERR_GGROK_DESTINATION_FORBIDDEN/);
      const socks = await curl("-x", `socks5h://${LOGIN}@${address}`, `http://${host}:${port}/`);
      expect([socks.code, socks.out], host).toEqual([97, ""]);
    }
  });

  it("is reached on a public port of the relay by those whom --cidr-allow names", async () => {
    await using proxy = exit("--url", "exit", "--basic-auth", LOGIN, "--allow-private", "--cidr-allow", "127.0.0.0/8");
    const port = await publicPort(proxy);
    const { out, err } = await curl("-x", `http://${LOGIN}@127.0.0.1:${port}`, "-d", "hello", plainUrl);
    expect(out, err).toBe("hello");
    await using far = exit("--url", "far", "--basic-auth", LOGIN, "--allow-private", "--cidr-allow", "203.0.113.0/24");
    const stranger = await curl("-x", `http://${LOGIN}@127.0.0.1:${await publicPort(far)}`, plainUrl);
    expect([stranger.out, stranger.code > 0], stranger.err).toEqual(["", true]);
    expect(far.events("request")).toEqual([]);
  });

  it("carries each direction of a tunnel to its own end, and a break as a break", async () => {
    await using proxy = exit("--url", "exit", "--basic-auth", LOGIN, "--allow-private");
    await proxy.event("tunnel.online");
    const { program, address } = await connector("exit");
    await using _connector = program;
    let upstream: Socket | undefined;
    const { port } = await world.tcp((socket) => {
      upstream = socket;
      const hash = createHash("sha256");
      socket.on("data", (chunk) => hash.update(chunk));
      socket.on("end", () => socket.end(hash.digest("hex")));
    });
    const field = `Proxy-Authorization: Basic ${Buffer.from(LOGIN).toString("base64")}`;
    const head = `CONNECT localhost:${port} HTTP/1.1\r\nHost: x\r\n${field}\r\n\r\n`;
    const connectorPort = Number(address.split(":").at(-1));
    const body = randomBytes(3_000_000);
    const client = await world.dial(connectorPort, Buffer.concat([Buffer.from(head), body.subarray(0, 9)]));
    expect((await client.head())?.startLine).toMatch(/ 200 /);
    client.send(body.subarray(9));
    client.finish();
    expect((await client.reader.rest()).toString()).toBe(createHash("sha256").update(body).digest("hex"));
    expect(client.reader.end).toBe("fin");
    const broken = await world.dial(connectorPort, head);
    await broken.head();
    upstream?.resetAndDestroy();
    expect(await broken.reader.ended()).toBe("rst");
    const left = await world.dial(connectorPort, head);
    await left.head();
    const gone = new Promise((resolve) => upstream?.once("close", resolve));
    left.reset();
    await within("the destination to notice", gone);
  });

  it("serves this machine at the same time with --listen", async () => {
    await using proxy = exit("--url", "exit", "--listen", "127.0.0.1:0", "--basic-auth", LOGIN, "--allow-private");
    const { url } = await proxy.event("proxy.online");
    await proxy.event("tunnel.online");
    const { out } = await curl("-x", String(url), "-U", LOGIN, "-d", "here", plainUrl);
    expect(out).toBe("here");
  });

  it("lets open transfers end when it is stopped, then gives the name back", async () => {
    const held = Promise.withResolvers<() => void>();
    const { port } = await world.http((_request, response) => {
      response.write("first,");
      held.resolve(() => response.end("last"));
    });
    await using proxy = exit("--url", "exit", "--basic-auth", LOGIN, "--allow-private");
    await proxy.event("tunnel.online");
    const { program, address } = await connector("exit");
    await using _connector = program;
    const answer = curl("-x", `http://${LOGIN}@${address}`, `http://localhost:${port}/`);
    const finish = await held.promise;
    const released = relay.program.events("endpoint.released").length;
    proxy.kill("SIGTERM");
    await relay.program.event("endpoint.released", released + 1);
    finish();
    expect(await answer).toMatchObject({ code: 0, out: "first,last" });
    expect(await proxy.exited, proxy.stderr).toBe(0);
  });

  it("ends with the exit codes of every tunnel", async () => {
    await using noLogin = exit("--url", "exit");
    expect([await noLogin.exited, noLogin.stderr]).toEqual([2, expect.stringContaining("--basic-auth")]);
    const wrongToken = [
      "proxy",
      "--url",
      "exit",
      "--basic-auth",
      LOGIN,
      "--relay",
      relay.origin,
      "--authtoken",
      "wrong",
    ];
    await using refused = place.ggrok(wrongToken);
    expect(await refused.exited, refused.stderr).toBe(4);
    const unreachable = [
      "proxy",
      "--url",
      "exit",
      "--basic-auth",
      LOGIN,
      "--relay",
      "http://localhost:1",
      "--no-retry",
    ];
    await using nobody = place.ggrok(unreachable);
    expect(await nobody.exited, nobody.stderr).toBe(6);
    await using first = exit("--url", "exit", "--basic-auth", LOGIN);
    await first.event("tunnel.online");
    await using other = new Place();
    const args = ["proxy", "--url", "exit", "--basic-auth", LOGIN, "--relay", relay.origin, "--authtoken", TOKEN];
    await using second = other.ggrok(args);
    expect(await second.exited, second.stderr).toBe(5);
  });

  it.each([
    [["--public"], "--public"],
    [["--cidr-allow", "10.0.0.0/8"], "--cidr-allow"],
    [["--takeover", "--no-retry"], "--takeover, --no-retry"],
    [["--relay", "relay.example", "--authtoken", "x"], "--relay, --authtoken"],
  ])("is what %j are for: without it they are a mistake", async (flags, named) => {
    await using program = place.ggrok(["proxy", "--listen", "127.0.0.1:0", ...flags]);
    expect(await program.exited).toBe(2);
    expect(program.stderr).toContain(`${named}: only with --url`);
  });
});
