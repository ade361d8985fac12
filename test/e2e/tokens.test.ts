import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { within } from "../harness/deadline.ts";
import { App, freePort, Place, Program, RelayProcess, visit } from "./cli-world.ts";

let dataDir: string;
beforeEach(() => {
  dataDir = join(mkdtempSync(join(tmpdir(), "ggrok-tokens-")), "data");
});
afterEach(() => {
  rmSync(join(dataDir, ".."), { recursive: true, force: true });
});

/** One command of the operator: what it printed and its exit code. */
async function operate(
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<{ code: number | string; out: string; err: string }> {
  const { GGROK_TOKEN: _t, GGROK_ADMIN_TOKEN: _a, GGROK_DATA_DIR: _d, ...rest } = process.env;
  const program = Program.relay(args, { ...rest, ...env });
  const code = await within(`ggrok-relay ${args.join(" ")}`, program.exited, 20_000);
  return { code, out: program.stdout, err: program.stderr };
}

async function startRelay(args: readonly string[] = [], port = 0): Promise<RelayProcess> {
  return RelayProcess.start(["--domain", "localhost", "--data-dir", dataDir, ...args], port);
}

describe("the operator's commands on a data directory", () => {
  it("invite somebody who logs in with one link, publishes, and is out when the token is revoked", async () => {
    await using relay = await startRelay();
    await using machine = new Place();
    await using app = await App.start((_req, res) => res.end("hello"));
    const env = { GGROK_DATA_DIR: dataDir, GGROK_PUBLIC_URL: relay.origin };
    const made = await operate(["token", "create", "alice", "--names", "alice-*", "--expires", "30d"], env);
    expect([made.code, made.out]).toEqual([0, expect.stringMatching(/^ggrok_[\w-]{43}\n$/u)]);
    const link = /ggrok login (\S+)/u.exec(made.err)?.[1] ?? "";
    expect(link).toBe(`${relay.origin}/#${made.out.trim()}`);

    // The running relay knows it at once.
    await using login = machine.ggrok(["login", link]);
    expect(await within("the login", login.exited), login.stderr).toBe(0);
    expect(login.stdout).toContain(`Logged in to ${relay.origin}`);
    expect((statSync(machine.configPath).mode & 0o777).toString(8)).toBe("600");
    expect(login.stdout + login.stderr).not.toContain(made.out.trim());

    await using refused = machine.ggrok(["http", String(app.port), "--url", "bob", "--json"]);
    expect(await within("the refusal", refused.exited)).toBe(5);
    await using agent = machine.ggrok(["http", String(app.port), "--url", "alice-app", "--json"]);
    const { url } = await agent.event("tunnel.online");
    expect((await visit(String(url))).text).toBe("hello");

    const revoked = await operate(["token", "revoke", "alice"], env);
    expect([revoked.code, revoked.out]).toEqual([0, expect.stringMatching(/^alice \([0-9a-f]{16}\) is revoked\n$/u)]);
    expect(await within("the agent to be out", agent.exited, 10_000)).toBe(4);
    expect(await operate(["token", "revoke", "alice"], env)).toMatchObject({ code: 1 });
  });

  it("reserve a name that then belongs to one token", async () => {
    await using machine = new Place();
    await using app = await App.start((_req, res) => res.end("hello"));
    const env = { GGROK_DATA_DIR: dataDir };
    const [alice, bob] = [
      await operate(["token", "create", "alice"], env),
      await operate(["token", "create", "bob"], env),
    ];
    expect(await operate(["reserve", "shop", "--owner", "alice"], env)).toMatchObject({
      code: 0,
      out: "shop is reserved for alice until it is released\n",
    });
    expect(await operate(["reserve", "shop", "--owner", "bob"], env)).toMatchObject({ code: 1 });
    await using relay = await startRelay(["--park", "0s"]);
    const shop = `http://shop.localhost:${String(relay.port)}`;
    expect((await visit(shop)).status).toBe(503);
    const http = (token: string): Program =>
      machine.ggrok([
        "http",
        String(app.port),
        "--relay",
        relay.origin,
        "--url",
        "shop",
        "--json",
        "--authtoken",
        token,
      ]);
    await using stranger = http(bob.out.trim());
    expect(await within("the refusal", stranger.exited)).toBe(5);
    await using owner = http(alice.out.trim());
    await owner.event("tunnel.online");
    expect((await visit(shop)).text).toBe("hello");
    expect((await operate(["reserve", "--json"], env)).out).toContain('"token":"alice"');
    expect(await operate(["reserve", "shop", "--release"], env)).toMatchObject({ code: 0, out: "shop is released\n" });
  });

  it("end with 3 without a store and with 2 for what makes no sense", async () => {
    expect(await operate(["token", "list"])).toMatchObject({ code: 3, err: expect.stringContaining("--data-dir") });
    expect(await operate(["reserve"])).toMatchObject({ code: 3 });
    const wrong = [
      ["token", "create", "a b"],
      ["token", "create", "x", "--scopes", "root"],
      ["token", "create", "x", "--ports", "9-5"],
      ["token", "create", "x", "--expires", "soon"],
      ["reserve", "x"],
      ["reserve", "a b", "--release"],
    ];
    for (const args of wrong) expect([args, (await operate([...args, "--data-dir", dataDir])).code]).toEqual([args, 2]);
  });
});

describe("the same on a running relay", () => {
  it("goes through the admin API", async () => {
    await using relay = await startRelay(["--admin-token", "root"]);
    const remote = ["--relay", relay.origin, "--admin-token", "root"];
    const made = await operate(["token", "create", "alice", ...remote]);
    expect(made.err).toContain(`ggrok login ${relay.origin}/#${made.out.trim()}`);
    expect((await operate(["token", "list", ...remote])).out).toMatch(
      /^NAME +ID .*\nalice +[0-9a-f]{16} +bind,connect/u,
    );
    expect(await operate(["reserve", "shop", "--owner", "alice", "--for", "90d", ...remote])).toMatchObject({
      code: 0,
    });
    expect((await operate(["reserve", ...remote])).out).toMatch(/^NAME .*\nshop +alice +operator/u);
    expect(await operate(["reserve", "shop", "--release", ...remote])).toMatchObject({ code: 0 });
    expect(await operate(["token", "revoke", "alice", ...remote])).toMatchObject({ code: 0 });
    expect(await operate(["token", "revoke", "alice", ...remote])).toMatchObject({ code: 1 });
    const stranger = await operate(["token", "list", "--relay", relay.origin, "--admin-token", "wrong"]);
    expect(stranger).toMatchObject({ code: 1, out: "" });
  });

  it("says what the relay does", async () => {
    await using relay = await startRelay(["--admin-token", "root", "--token", "agent"]);
    await using machine = new Place();
    await using app = await App.start((_req, res) => res.end("hello"));
    const args = ["--relay", relay.origin, "--url", "app", "--json", "--authtoken", "agent"];
    await using agent = machine.ggrok(["http", String(app.port), ...args]);
    await agent.event("tunnel.online");
    const local = await operate(["status", "--port", String(relay.port), "--admin-token", "root"]);
    expect(local.code).toBe(0);
    expect(local.out).toMatch(/^relay +ready, version /u);
    expect(local.out).toMatch(/http:\/\/app\.localhost:\d+ +online +GGROK_TOKEN/u);
    const stranger = await operate(["status", "--port", String(relay.port)]);
    expect(stranger).toMatchObject({ code: 0, out: "relay       ready\n" });
    expect(await operate(["status", "--relay", `http://127.0.0.1:${String(await freePort())}`])).toMatchObject({
      code: 1,
    });
  });
});

describe("a relay without tokens", () => {
  it("lets the first administrator in as soon as the token is made", async () => {
    await using relay = await startRelay();
    const ask = async (path: string, token: string): Promise<number> => {
      const answer = await fetch(`${relay.origin}/$$ggrok/${path}`, { headers: { authorization: `Bearer ${token}` } });
      await answer.arrayBuffer();
      return answer.status;
    };
    expect([await ask("metrics", "guess"), await ask("api/v1/status", "guess")]).toEqual([404, 404]);
    const made = await operate(["token", "create", "root", "--scopes", "admin"], { GGROK_DATA_DIR: dataDir });
    const token = made.out.trim();
    expect([await ask("api/v1/status", token), await ask("metrics", token)]).toEqual([200, 200]);
    expect([await ask("api/v1/status", "guess"), await ask("metrics", "guess")]).toEqual([401, 401]);
  });

  it("tells an agent with --takeover that the name is another agent's, not another token's", async () => {
    await using relay = await RelayProcess.start(["--domain", "localhost"]);
    await using app = await App.start((_req, res) => res.end("hello"));
    await using first = new Place();
    await using second = new Place();
    const args = ["http", String(app.port), "--relay", relay.origin, "--url", "shop", "--json"];
    await using holder = first.ggrok(args);
    await holder.event("tunnel.online");
    await using other = second.ggrok([...args, "--takeover"]);
    expect(await within("the refusal", other.exited, 20_000)).toBe(5);
    const [error] = other.events("error");
    expect(error).toMatchObject({ code: "ERR_GGROK_NAME_TAKEN" });
    expect(error?.["message"]).toMatch(/belongs to another agent.*--takeover/u);
  });
});

describe("a relay that is killed", () => {
  it("has every token and every name after its next start, and gives a name to nobody else", async () => {
    await using machine = new Place();
    await using app = await App.start((_req, res) => res.end("hello"));
    const env = { GGROK_DATA_DIR: dataDir };
    const [alice, bob] = [
      await operate(["token", "create", "alice"], env),
      await operate(["token", "create", "bob"], env),
    ];
    const first = await startRelay();
    const http = (token: string): Program => {
      const args = ["--relay", first.origin, "--url", "shop", "--json", "--authtoken", token];
      return machine.ggrok(["http", String(app.port), ...args]);
    };
    await using owner = http(alice.out.trim());
    await owner.event("tunnel.online");
    owner.child.kill("SIGKILL");
    first.program.child.kill("SIGKILL");
    await owner.exited;
    await first.program.exited;
    await using _second = await startRelay([], first.port);
    await using stranger = http(bob.out.trim());
    expect(await within("the refusal", stranger.exited)).toBe(5);
    expect(stranger.stdout + stranger.stderr).toContain("reserved for another token");
    await using again = http(alice.out.trim());
    await again.event("tunnel.online");
  });
});
