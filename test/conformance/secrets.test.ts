// Secrets planted wherever one can be, and looked for wherever one could come out.
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { App, Place, type Program, RelayProcess, visit } from "../e2e/cli-world.ts";
import { within } from "../harness/deadline.ts";
import { RawClient } from "../harness/raw-client.ts";

const MARK = "pl4nted";
const secret = (where: string): string => `${MARK}-${where}`;

/** Lines that have one of the secrets, cut to what can be read in a failure. */
function leaks(text: string): string[] {
  return text
    .split("\n")
    .filter((line) => line.includes(MARK) || line.includes(Buffer.from(`ann:${MARK}`).toString("base64").slice(0, 12)))
    .map((line) => line.slice(0, 300));
}

function argvOf(program: Program): string {
  return readFileSync(`/proc/${String(program.child.pid)}/cmdline`, "utf8");
}

function filesOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

it("shows no secret in logs, errors, metrics, lists, arguments or files", { timeout: 60_000 }, async () => {
  const dataDir = mkdtempSync(join(tmpdir(), "ggrok-secrets-"));
  const env = { RELAY_ADMIN: secret("admin"), RELAY_TOKEN: secret("static") };
  Object.assign(process.env, env);
  const args = ["--token", "env:RELAY_TOKEN", "--admin-token", "env:RELAY_ADMIN", "--log-level", "trace"];
  await using relay = await RelayProcess.start([
    "--domain",
    "localhost",
    "--data-dir",
    dataDir,
    "--park",
    "0s",
    ...args,
  ]);
  for (const name of Object.keys(env)) delete process.env[name];
  await using app = await App.start((req, res) => {
    if (req.url?.startsWith("/break") === true) req.socket.destroy();
    else {
      res.setHeader("Set-Cookie", `session=${secret("set-cookie")}`);
      res.end(secret("answer"));
    }
  });
  await using place = new Place({
    GGROK_AUTHTOKEN: secret("static"),
    VISITORS: `ann:${secret("basic")}`,
  });
  const http = ["http", String(app.port), "--relay", relay.origin, "--json", "--log-level", "debug"];
  await using agent = place.ggrok([...http, "--url", "app"]);
  await using guarded = place.ggrok([...http, "--url", "guarded", "--basic-auth", "env:VISITORS"]);
  await using stranger = place.ggrok([...http, "--url", "stranger"], {
    env: { GGROK_AUTHTOKEN: secret("wrong") },
  });
  await agent.event("tunnel.online");
  await guarded.event("tunnel.online");
  expect(await within("the stranger's end", stranger.exited, 20_000)).toBe(4);

  const origin = (name: string): string => `http://${name}.localhost:${String(relay.port)}`;
  const path = (where: string): string => `/${where}?access_token=${secret("query")}&x=1`;
  const headers = {
    authorization: `Bearer ${secret("bearer")}`,
    cookie: `session=${secret("cookie")}`,
    "x-api-key": secret("key"),
    referer: `https://x.example/?token=${secret("referer")}`,
  };
  const basic = { authorization: `Basic ${Buffer.from(`ann:${secret("basic")}`).toString("base64")}` };
  const visits = [
    ["app", "fine", headers],
    ["app", "break", headers],
    ["nobody", "unknown", headers],
    ["guarded", "in", { ...headers, ...basic }],
    ["guarded", "out", headers],
  ] as const;
  const statuses = [];
  for (const [name, where, fields] of visits) {
    const { status } = await visit(origin(name), path(where), {
      method: "POST",
      body: secret("body"),
      headers: fields,
    });
    statuses.push(status);
  }
  expect(statuses).toEqual([200, 502, 503, 200, 401]);
  for (const bytes of [
    `GET ${path("two")} HTTP/1.1\r\nHost: app.localhost\r\nHost: x\r\nAuthorization: Bearer ${secret("raw")}\r\n\r\n`,
    `GET ${path("bad")} HTTP/1.1\r\nHost: app.localhost\r\nAuthorization : Bearer ${secret("raw")}\r\n\r\n`,
    `CONNECT app.localhost:1 HTTP/1.1\r\nHost: app.localhost\r\nProxy-Authorization: Bearer ${secret("raw")}\r\n\r\n`,
  ]) {
    await using visitor = await RawClient.connect(relay.port, { first: bytes });
    const answer = await visitor.answer();
    expect(leaks(answer?.bytes.toString() ?? "")).toEqual([]);
  }

  const admin = { authorization: `Bearer ${secret("admin")}` };
  const own = (what: string): Promise<string> =>
    fetch(`${relay.origin}/$$ggrok/${what}`, { headers: admin }).then((answer) => answer.text());
  const made = await fetch(`${relay.origin}/$$ggrok/api/v1/tokens`, {
    method: "POST",
    headers: { ...admin, "content-type": "application/json" },
    body: JSON.stringify({ name: "alice" }),
  });
  const { secret: token } = (await made.json()) as { secret: string };
  for (const what of ["metrics", "api/v1/status", "api/v1/tokens", "api/v1/sessions", "api/v1/tunnels"]) {
    const text = await own(what);
    expect([what, text.includes(token), leaks(text)]).toEqual([what, false, []]);
  }

  expect([argvOf(relay.program), argvOf(agent), argvOf(guarded)].flatMap(leaks)).toEqual([]);
  for (const program of [agent, guarded, relay.program]) {
    program.kill();
    await within("the end of a program", program.exited, 20_000);
  }
  const printed = [relay.program, agent, guarded, stranger].map(({ stdout, stderr }) => `${stdout}\n${stderr}`);
  expect(relay.program.events("exchange").length).toBeGreaterThanOrEqual(visits.length);
  expect(printed.flatMap(leaks)).toEqual([]);
  for (const text of printed) expect(text).not.toContain(token);

  const files = [...filesOf(dataDir), ...filesOf(place.folder)];
  expect(files.some((file) => file.startsWith(dataDir))).toBe(true);
  for (const file of files) {
    const bytes = readFileSync(file, "latin1");
    expect([file, bytes.includes(token)]).toEqual([file, false]);
    // What the local inspector recorded is its user's alone.
    if (bytes.includes(MARK)) expect([file, statSync(file).mode & 0o077]).toEqual([file, 0]);
    if (file.startsWith(dataDir)) expect([file, bytes.includes(MARK)]).toEqual([file, false]);
  }
  rmSync(dataDir, { recursive: true, force: true });
});
