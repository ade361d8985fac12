import { createServer as createHttpServer, type RequestListener } from "node:http";
import { connect, createServer } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocketServer } from "ws";
import { HOPS } from "../../packages/client/src/doctor/finding.ts";
import type { Identity, PrivateCa } from "../harness/private-ca.ts";
import { App, freePort, Place, RelayProcess } from "./cli-world.ts";
import { ProxyWorld } from "./proxy-world.ts";

const TOKEN = "tok-1234567890";
let world: ProxyWorld;
let place: Place;
let relay: RelayProcess;
let ca: PrivateCa;

beforeAll(async () => {
  world = new ProxyWorld();
  place = new Place();
  relay = await RelayProcess.start(["--domain", "localhost", "--token", TOKEN]);
  ca = await world.ca();
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
  await relay[Symbol.asyncDispose]();
  await place[Symbol.asyncDispose]();
});

interface Report {
  exit: number | string;
  failed: string | null;
  hops: Record<string, { status: string; message: string; fix?: string; chain?: { issuer: string }[] }>;
  order: string[];
}

/** What `ggrok doctor --json` says. */
async function doctor(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Report> {
  const web = args.includes("--web-addr") ? [] : ["--web-addr", "127.0.0.1:0"];
  await using program = place.ggrok(["doctor", "--json", ...web, ...args], { env });
  const exit = await program.exited;
  if (program.lines.length !== 1) throw new Error(`${program.stdout}\n${program.stderr}`);
  const { failed, hops } = JSON.parse(program.stdout) as {
    failed: string | null;
    hops: (Report["hops"][string] & { hop: string })[];
  };
  return {
    exit,
    failed,
    hops: Object.fromEntries(hops.map((hop) => [hop.hop, hop])),
    order: hops.map(({ hop }) => hop),
  };
}

/** TLS in front of the relay, with the certificate that is to be judged. */
async function frontEnd(identity: Identity): Promise<number> {
  const front = createTlsServer(identity, (socket) => {
    const behind = connect(relay.port, "127.0.0.1");
    for (const side of [socket, behind]) side.on("error", () => {});
    world.onEnd(() => behind.destroy());
    socket.pipe(behind).pipe(socket);
  });
  front.on("tlsClientError", () => {});
  return await world.listen(front);
}

/** Something that is not, or not quite, a relay. */
async function impostor(listener: RequestListener): Promise<string> {
  const server = createHttpServer(listener);
  const port = await world.listen(server);
  world.onEnd(() => server.closeAllConnections());
  return `http://localhost:${port}`;
}

describe("ggrok doctor", () => {
  it("finds nothing where all is well, and says so to people", async () => {
    await using app = await App.start((_request, response) => response.end("ok"));
    await using program = place.ggrok([
      "doctor",
      String(app.port),
      "--relay",
      relay.origin,
      "--authtoken",
      TOKEN,
      "--web-addr",
      "127.0.0.1:0",
    ]);
    expect(await program.exited, program.stdout + program.stderr).toBe(0);
    for (const hop of HOPS) expect(program.stdout).toMatch(new RegExp(`^(ok|-) +${hop} `, "m"));
    expect(program.stdout).toMatch(/\nNothing fails\.\n$/);
    expect(program.stdout).not.toContain(TOKEN);
  });

  it("walks through a proxy and TLS with a private authority, each hop once and in order", async () => {
    await using app = await App.start((_request, response) => response.end("ok"));
    const port = await frontEnd(await ca.issue(["localhost"]));
    const { listener } = await world.proxy({ credentials: ["ann:pw"] });
    const report = await doctor([
      ...[String(app.port), "--relay", `https://localhost:${port}`, "--authtoken", TOKEN, "--ca", ca.path],
      ...["--proxy", `http://ann:pw@127.0.0.1:${listener.port}`],
    ]);
    expect(report.order).toEqual([...HOPS]);
    expect(report, JSON.stringify(report)).toMatchObject({ exit: 0, failed: null });
    expect(report.hops["proxy"]?.message).toContain(
      `127.0.0.1:${listener.port} (from --proxy, with a login) connects to localhost:${port}`,
    );
    expect(report.hops["tls"]?.message).toMatch(/^TLSv1\.3; localhost \(by Test Authority/);
    expect(report.hops["tls"]?.chain?.[0]?.issuer).toBe("Test Authority");
    for (const hop of ["relay", "clock", "upgrade", "authentication", "round-trip", "local-port", "host-check"]) {
      expect(report.hops[hop]?.status, hop).toBe("ok");
    }
  });

  it("leaves a running agent and its tunnel alone", async () => {
    await using app = await App.start((_request, response) => response.end("ok"));
    await using agent = place.ggrok([
      "http",
      "--json",
      "--relay",
      relay.origin,
      "--authtoken",
      TOKEN,
      String(app.port),
    ]);
    await agent.event("tunnel.online");
    expect(await doctor(["--relay", relay.origin, "--authtoken", TOKEN])).toMatchObject({ exit: 0 });
    expect(agent.events().map(({ event }) => event)).not.toContain("tunnel.offline");
    expect(agent.events("session.reconnecting")).toEqual([]);
  });
});

describe("the hop that fails", () => {
  it.each([
    ["configuration", 3, [], /no relay is set/, /ggrok login/],
    ["configuration", 3, ["--relay", "relay.invalid", "--ca", "/nowhere.pem"], /cannot be read/, /./],
    ["configuration", 3, ["--relay", "relay.invalid", "--proxy", "gopher://u:hunter2@x"], /not an http/, /./],
    ["dns", 6, ["--relay", "relay.invalid"], /relay\.invalid does not resolve/, /--proxy/],
    [
      "dns",
      6,
      ["--relay", "relay.invalid", "--proxy", "http://proxy.invalid:1"],
      /proxy\.invalid does not resolve/,
      /--proxy/,
    ],
    ["tcp", 6, ["--relay", "http://localhost:1"], /refused the connection/, /port/],
    [
      "tcp",
      6,
      ["--relay", "relay.invalid", "--proxy", "http://127.0.0.1:1"],
      /127\.0\.0\.1:1 refused/,
      /proxy's address/,
    ],
  ])("is %s, exit code %i: %j", async (hop, exit, args, message, fix) => {
    const report = await doctor(args);
    expect(report).toMatchObject({ exit, failed: hop });
    expect(report.hops[hop]?.message).toMatch(message);
    expect(report.hops[hop]?.fix).toMatch(fix);
    expect(JSON.stringify(report)).not.toContain("hunter2");
    const at = HOPS.indexOf(report.failed as (typeof HOPS)[number]);
    for (const later of HOPS.slice(at + 1, HOPS.indexOf("local-port"))) {
      expect(report.hops[later]).toMatchObject({ status: "skipped", message: "not reached" });
    }
  });

  it("is the proxy: one that wants a login, one that declines, one that is none", async () => {
    const login = await world.proxy({ credentials: ["ann:pw"] });
    const declining = await world.proxy({ isPublicOnly: true });
    const { port } = await world.tcp((socket) => socket.end("SSH-2.0-x\r\n\r\n"));
    const ask = (proxy: string) => doctor(["--relay", `http://localhost:${relay.port}`, "--proxy", proxy]);
    const unknown = await ask(`http://127.0.0.1:${login.listener.port}`);
    expect(unknown).toMatchObject({ exit: 3, failed: "proxy" });
    expect(unknown.hops["proxy"]?.message).toMatch(/asks for a user name and password \(407\)/);
    const wrong = await ask(`socks5://ann:hunter2@127.0.0.1:${login.listener.port}`);
    expect(wrong).toMatchObject({ exit: 3, failed: "proxy" });
    expect(JSON.stringify(wrong)).not.toContain("hunter2");
    const declined = await ask(`http://127.0.0.1:${declining.listener.port}`);
    expect(declined).toMatchObject({ exit: 6, failed: "proxy" });
    expect(declined.hops["proxy"]?.fix).toMatch(/allow CONNECT/);
    expect(await ask(`http://127.0.0.1:${port}`)).toMatchObject({ exit: 6, failed: "proxy" });
  });

  it("is tls: an authority nobody knows, other names, an expired certificate, no TLS at all", async () => {
    const unknown = await doctor(["--relay", `https://localhost:${await frontEnd(await ca.issue(["localhost"]))}`]);
    expect(unknown).toMatchObject({ exit: 6, failed: "tls" });
    expect(unknown.hops["tls"]?.fix).toMatch(/does not trust "Test Authority".*--ca/);
    expect(unknown.hops["clock"]?.status).toBe("ok");
    expect(unknown.hops["upgrade"]?.message).toBe("not reached");
    const others = await doctor([
      ...["--ca", ca.path, "--relay", `https://localhost:${await frontEnd(await ca.issue(["other.example"]))}`],
    ]);
    expect(others.hops["tls"]?.message).toContain("ERR_TLS_CERT_ALTNAME_INVALID");
    const expired = await frontEnd(await ca.issue(["localhost"], { days: -1 }));
    const late = await doctor(["--ca", ca.path, "--relay", `https://localhost:${expired}`]);
    expect(late).toMatchObject({ exit: 6, failed: "tls" });
    expect(late.hops["tls"]?.message).toContain("CERT_HAS_EXPIRED");
    const plain = await doctor(["--relay", `https://localhost:${relay.port}`]);
    expect(plain).toMatchObject({ exit: 6, failed: "tls" });
    expect(plain.hops["tls"]?.fix).toContain(`http://localhost:${relay.port}`);
  });

  it("is the relay: another server, a silent port, a tunnel of it", async () => {
    const other = await impostor((_request, response) => response.end("<h1>welcome</h1>"));
    expect(await doctor(["--relay", other])).toMatchObject({ exit: 6, failed: "relay" });
    const { port } = await world.tcp((socket) => socket.end());
    expect(await doctor(["--relay", `http://localhost:${port}`])).toMatchObject({ exit: 6, failed: "relay" });
    await using agent = place.ggrok([
      "http",
      "--json",
      "--relay",
      relay.origin,
      "--authtoken",
      TOKEN,
      "--url",
      "shop",
      "1",
    ]);
    await agent.event("tunnel.online");
    const tunnel = await doctor(["--relay", `http://shop.localhost:${relay.port}`]);
    expect(tunnel).toMatchObject({ exit: 6, failed: "relay" });
    expect(tunnel.hops["relay"]?.fix).toMatch(/one of the relay's tunnels/);
  });

  it("is the upgrade where something in between does not pass it on", async () => {
    const server = createHttpServer((request, response) => {
      if (request.url?.endsWith("/health")) response.end('{"status":"ok"}');
      else response.writeHead(400).end("no upgrades here");
    });
    server.on("upgrade", (_request, socket) => socket.end("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"));
    const port = await world.listen(server);
    world.onEnd(() => server.closeAllConnections());
    const report = await doctor(["--relay", `http://localhost:${port}`]);
    expect(report).toMatchObject({ exit: 6, failed: "upgrade" });
    expect(report.hops["upgrade"]?.fix).toMatch(/WebSockets/);
  });

  it("is the upgrade, with an exit code of its own, where no version of the protocol is common", async () => {
    const server = createHttpServer((_request, response) => response.end('{"status":"ok"}'));
    const refusal = JSON.stringify({
      code: "ERR_GGROK_VERSION_UNSUPPORTED",
      message: "This relay speaks ggrok.v9.",
      supported: ["ggrok.v9"],
    });
    server.on("upgrade", (_request, socket) => {
      socket.end(`HTTP/1.1 426 Upgrade Required\r\nContent-Length: ${refusal.length}\r\n\r\n${refusal}`);
    });
    const port = await world.listen(server);
    world.onEnd(() => server.closeAllConnections());
    const report = await doctor(["--relay", `http://localhost:${port}`]);
    expect(report).toMatchObject({ exit: 8, failed: "upgrade" });
    expect(report.hops["authentication"]?.message).toBe("not reached");
  });

  it("is the round trip where frames are held back", { timeout: 30_000 }, async () => {
    const server = createHttpServer((_request, response) => response.end('{"status":"ok"}'));
    const sockets = new WebSocketServer({ server, autoPong: false, handleProtocols: () => "ggrok.v1" });
    const port = await world.listen(server);
    world.onEnd(() => {
      for (const socket of sockets.clients) socket.terminate();
      server.closeAllConnections();
    });
    const report = await doctor(["--relay", `http://localhost:${port}`]);
    expect(report).toMatchObject({ exit: 6, failed: "round-trip" });
    expect(report.hops["authentication"]?.status).toBe("ok");
    expect(report.hops["round-trip"]?.fix).toMatch(/holds WebSocket frames back/);
  });

  it("is the authentication without a token and with a wrong one", async () => {
    const none = await doctor(["--relay", relay.origin]);
    expect(none).toMatchObject({ exit: 4, failed: "authentication" });
    expect(none.hops["authentication"]?.fix).toMatch(/No token is set.*ggrok login/);
    expect(none.hops["upgrade"]?.status).toBe("ok");
    const wrong = await doctor(["--relay", relay.origin], { GGROK_AUTHTOKEN: "wrong-9876543210" });
    expect(wrong).toMatchObject({ exit: 4, failed: "authentication" });
    expect(wrong.hops["configuration"]?.message).toContain("token from GGROK_AUTHTOKEN");
    expect(JSON.stringify(wrong)).not.toContain("wrong-9876543210");
  });

  it("is the local port where nothing listens", async () => {
    const report = await doctor([String(await freePort()), "--relay", relay.origin, "--authtoken", TOKEN]);
    expect(report).toMatchObject({ exit: 7, failed: "local-port" });
    expect(report.hops["local-port"]?.message).toMatch(/closed: 127\.0\.0\.1 \(ECONNREFUSED\), ::1 \(/);
    expect(report.hops["host-check"]?.message).toBe("not reached");
  });
});

describe("a warning", () => {
  it("is a clock that is off, by how much and which way", async () => {
    for (const [offset, word] of [
      [-300_000, "ahead of"],
      [300_000, "behind"],
    ] as const) {
      const url = await impostor((_request, response) => {
        response.setHeader("date", new Date(Date.now() + offset).toUTCString());
        response.end('{"status":"ok"}');
      });
      const report = await doctor(["--relay", url]);
      expect(report.hops["clock"]?.status).toBe("warning");
      expect(report.hops["clock"]?.message).toMatch(new RegExp(`clock is (29\\d|30\\d) s ${word} the relay's`));
    }
  });

  it("is a certificate that ends soon", async () => {
    const port = await frontEnd(await ca.issue(["localhost"], { days: 3 }));
    const report = await doctor(["--ca", ca.path, "--authtoken", TOKEN, "--relay", `https://localhost:${port}`]);
    expect(report).toMatchObject({ exit: 0, failed: null });
    expect(report.hops["tls"]).toMatchObject({ status: "warning", message: expect.stringContaining("ends soon") });
  });

  it("is an app that refuses hosts that are not its own", async () => {
    await using app = await App.start((request, response) => {
      const isOwn = request.headers.host?.startsWith("localhost") === true;
      response.writeHead(isOwn ? 200 : 403).end("Blocked request.");
    });
    const report = await doctor([String(app.port), "--relay", relay.origin, "--authtoken", TOKEN]);
    expect(report.exit).toBe(0);
    expect(report.hops["host-check"]).toMatchObject({
      status: "warning",
      fix: expect.stringContaining("--host-header=rewrite"),
    });
  });

  it("is an app that speaks no HTTP", async () => {
    const { port } = await world.tcp((socket) => socket.end("220 ready\r\n"));
    const report = await doctor([String(port), "--relay", relay.origin, "--authtoken", TOKEN]);
    expect(report.hops["host-check"]).toMatchObject({ status: "warning", fix: expect.stringContaining("ggrok tcp") });
  });

  it("is a local API's port that another program has; an agent's own is none", async () => {
    const port = await world.listen(createServer((socket) => socket.end()));
    const taken = await doctor(["--web-addr", `127.0.0.1:${port}`]);
    expect(taken.hops["inspector"]?.status).toBe("warning");
    await using agent = place.ggrok(["http", "--json", "--relay", relay.origin, "--authtoken", TOKEN, "1"]);
    const { url } = await agent.event("inspector.online");
    const own = await doctor(["--web-addr", String(url).replace("http://", "")]);
    expect(own.hops["inspector"]).toMatchObject({ status: "ok", message: expect.stringContaining("an agent runs") });
  });
});
