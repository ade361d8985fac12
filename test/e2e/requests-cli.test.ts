import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Writable } from "node:stream";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Io } from "../../packages/client/src/cli/io.ts";
import { runProgram } from "../../packages/client/src/cli/program.ts";
import { Changes } from "../harness/deadline.ts";
import { RawOrigin } from "../harness/raw-origin.ts";
import { Place } from "./cli-world.ts";
import { type ApiObject, InspectorWorld } from "./inspector-world.ts";

interface Ran {
  readonly code: number;
  readonly bytes: Buffer;
  readonly stdout: string;
  readonly stderr: string;
  readonly json: ApiObject[];
}

/** Runs a command line in this process: two hundred milliseconds less than a process of its own. */
async function run(
  place: Place,
  args: readonly string[],
  o: { cwd?: string; stop?: AbortController } = {},
): Promise<Ran> {
  return await new Run(place, args, o).ended;
}

class Run {
  readonly ended: Promise<Ran>;
  readonly #chunks: { out: Buffer[]; err: Buffer[] } = { out: [], err: [] };
  readonly #changes = new Changes();

  constructor(place: Place, args: readonly string[], o: { cwd?: string; stop?: AbortController } = {}) {
    const { out, err } = this.#chunks;
    const io: Io = {
      stdin: process.stdin,
      stdout: this.#stream(out),
      stderr: this.#stream(err),
      env: place.env,
      cwd: o.cwd ?? place.cwd,
      stop: (o.stop ?? new AbortController()).signal,
      onHangup: () => () => {},
    };
    // The folders of the place, which the command reads from the environment it is given.
    this.ended = runProgram(args, io).then((code) => {
      const bytes = Buffer.concat(out);
      const stdout = bytes.toString("utf8");
      return {
        code,
        bytes,
        stdout,
        stderr: Buffer.concat(err).toString("utf8"),
        get json() {
          return linesOf(stdout).map((line) => JSON.parse(line));
        },
      };
    });
  }

  get lines(): string[] {
    return linesOf(Buffer.concat(this.#chunks.out).toString("utf8"));
  }

  async line(index: number): Promise<string> {
    await this.#changes.until(`line ${index}`, () => this.lines.length > index);
    return this.lines[index] ?? "";
  }

  #stream(chunks: Buffer[]): NodeJS.WriteStream {
    const stream = new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        chunks.push(chunk);
        this.#changes.notify();
        done();
      },
    });
    return Object.assign(stream, { isTTY: false }) as unknown as NodeJS.WriteStream;
  }
}

function linesOf(text: string): string[] {
  return text.split("\n").filter((line) => line !== "");
}

const BODY = Buffer.from('{"amount":1,"text":"caf\u00e9 \u009b31m"}');

describe("ggrok requests while the agent runs", () => {
  let world: InspectorWorld;
  let hook: ApiObject;
  beforeAll(async () => {
    world = await InspectorWorld.start(["--verify-webhook", "github=s", "--verify-webhook-mode", "report"]);
    await world.ask(world.bytes("GET /first HTTP/1.1", []));
    await world.exchange("path=/first");
    world.origin.answer = "HTTP/1.1 404 Not Found\r\nX-Evil: a\x9bb\r\nContent-Length: 4\r\n\r\nno\x1b!";
    const bytes = world.bytes("POST /hook?a=1 HTTP/1.1", ["X-Odd: \xe9", `Content-Length: ${BODY.length}`], BODY);
    hook = await world.record(bytes, "path=/hook");
    world.origin.answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
  });
  afterAll(() => world[Symbol.asyncDispose]());

  it("lists them, the newest last, and as JSON", async () => {
    const plain = await run(world.place, ["requests"]);
    expect(plain.code).toBe(0);
    const lines = plain.stdout.trim().split("\n");
    expect(lines[0]).toMatch(/ GET .* 200 .* \/first {2}\(github: unknown\)$/);
    expect(lines[1]).toMatch(new RegExp(`^${hook.id} .* POST .* 404 .* /hook\\?a=1 `));
    const json = await run(world.place, ["requests", "--json", "--limit", "1"]);
    expect(json.json).toEqual([expect.objectContaining({ id: hook.id, outcome: "complete" })]);
  });

  it("filters, and says what is wrong with a filter", async () => {
    const filtered = await run(world.place, ["requests", "--json", "--filter", "method=POST status=4xx path=/ho*"]);
    expect(filtered.json.map(({ id }) => id)).toEqual([hook.id]);
    expect((await run(world.place, ["requests", "--filter", "status=500"])).stdout).toBe("");
    const wrong = await run(world.place, ["requests", "--filter", "colour=red"]);
    expect(wrong.code).toBe(2);
    expect(wrong.stderr).toContain('"colour" is no filter');
  });

  it("shows one for people, with nothing a terminal would act upon", async () => {
    const { code, stdout } = await run(world.place, ["requests", "show", hook.id]);
    expect(code).toBe(0);
    expect(stdout).toContain("POST /hook?a=1 HTTP/1.1\n");
    expect(stdout).toContain("X-Odd: \u00e9\n");
    expect(stdout).toContain('{"amount":1,"text":"caf\u00e9 \\x9b31m"}');
    expect(stdout).toContain("X-Evil: a\\x9bb");
    expect(stdout).toMatch(/signature +unknown \(github\)/);
    expect(stdout).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f-\x9f]/);
  });

  it("shows the bytes as they were, one part or both", async () => {
    const raw = await runBytes(["requests", "show", hook.id, "--raw"]);
    const request = await runBytes(["requests", "show", hook.id, "--raw", "--part", "request"]);
    const sent = request.toString("latin1");
    expect(sent.startsWith("POST /hook?a=1 HTTP/1.1\r\n")).toBe(true);
    expect(sent).toContain("X-Odd: \xe9\r\n");
    expect(request.subarray(sent.indexOf("\r\n\r\n") + 4).equals(BODY)).toBe(true);
    const response = await runBytes(["requests", "show", hook.id, "--raw", "--part", "response"]);
    expect(response.toString("latin1")).toBe(
      "HTTP/1.1 404 Not Found\r\nX-Evil: a\x9bb\r\nContent-Length: 4\r\n\r\nno\x1b!",
    );
    expect(raw.equals(Buffer.concat([request, response]))).toBe(true);
  });

  it("shows it as JSON and as a command", async () => {
    const json = await run(world.place, ["requests", "show", hook.id, "--json"]);
    expect(json.json).toEqual([expect.objectContaining({ id: hook.id, tunnel_name: "command_line" })]);
    const curl = await run(world.place, ["requests", "show", hook.id, "--as", "curl"]);
    expect(curl.stdout).toMatch(/^curl .*\/hook\?a=1/);
  });

  it("names an id that nobody knows, and takes one that looks like a flag for what it is", async () => {
    for (const id of ["nope", "-abcdefghij0123456789"]) {
      const { code, stderr } = await run(world.place, ["requests", "show", id]);
      expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining(`has the id "${id}"`) });
      expect((await run(world.place, ["replay", id, "--times", "2"])).stderr).toContain(`has the id "${id}"`);
    }
  });

  it("sends one again: as it was, edited, often, and to another app", async () => {
    const before = world.origin.requests.length;
    const plain = await run(world.place, ["replay", hook.id]);
    expect(plain).toMatchObject({ code: 0, stdout: expect.stringMatching(/^[0-9a-f]{24} {2}200\n$/) });
    expect((await world.origin.request(before)).bytes.equals(BODY)).toBe(true);
    const edits = [
      "method=PUT",
      "query.a=2",
      "header.X-New=caf\u00e9",
      "header.X-Odd=",
      "json.amount=7",
      "json.text=new",
    ];
    const args = edits.flatMap((edit) => ["--edit", edit]);
    const edited = await run(world.place, ["replay", hook.id, ...args, "--times", "2", "--json"]);
    expect(edited.json.map(({ status_code }) => status_code)).toEqual([200, 200]);
    const request = await world.origin.request(before + 2);
    expect(request).toMatchObject({ method: "PUT", target: "/hook?a=2" });
    expect(request.bytes.toString()).toBe('{"amount":7,"text":"new"}');
    const fields = request.fields.map(([name, value]) => `${name}: ${value}`);
    expect(fields).toContain("X-New: caf\xc3\xa9");
    expect(fields.some((field) => field.startsWith("X-Odd"))).toBe(false);
    await using other = await RawOrigin.start();
    writeFileSync(join(world.place.cwd, "body.bin"), Buffer.from([0, 255]));
    const to = ["--to", `http://127.0.0.1:${other.port}`, "--edit", "body=@body.bin", "--edit", "path=/elsewhere"];
    expect((await run(world.place, ["replay", hook.id, ...to])).code).toBe(0);
    expect(await other.request(0)).toMatchObject({ target: "/elsewhere", bytes: Buffer.from([0, 255]) });
  });

  it("signs anew what it sends again", async () => {
    const { code } = await run(world.place, ["replay", hook.id, "--edit", "json.amount=8", "--resign"]);
    expect(code).toBe(0);
    expect((await world.exchange("path=/hook")).signature).toMatchObject({ verdict: "valid" });
  });

  it.each([
    [["replay", "ID", "--edit", "colour"], 2, "write method=PUT"],
    [["replay", "ID", "--edit", "colour=red"], 2, "write method=PUT"],
    [["replay", "ID", "--edit", "body=@nope"], 2, "nope"],
    [["replay", "ID", "--times", "0"], 2, "1 to 100"],
    [["replay", "ID", "--edit", "path=no"], 1, "does not begin with a slash"],
    [["replay", "ID", "--to", "ftp://x"], 1, "ftp"],
    [["replay", "ID", "--tunnel", "other"], 1, 'no tunnel "other"'],
    [["replay"], 2, "missing required argument"],
    [["requests", "show", "ID", "--part", "request"], 2, "--part belongs to --raw"],
    [["requests", "--limit", "0"], 2, "1 to 1000"],
    [["requests", "import", "nope.har"], 2, "nope.har"],
    [["requests", "export", "--output", "/no/such/folder/x.har"], 2, "no such file"],
  ])("ends with a code and a sentence: %j", async (args, code, message) => {
    const ran = await run(
      world.place,
      args.map((arg) => (arg === "ID" ? hook.id : arg)),
    );
    expect({ code: ran.code, stderr: ran.stderr }).toEqual({ code, stderr: expect.stringContaining(message) });
  });

  it("follows what comes, until a signal", async () => {
    const stop = new AbortController();
    const args = ["requests", "--follow", "--json", "--limit", "1", "--filter", "path=/follow*"];
    const follower = new Run(world.place, args, { stop });
    await world.ask(world.bytes("GET /follow-me HTTP/1.1", []));
    await follower.line(0);
    await world.ask(world.bytes("GET /other HTTP/1.1", []));
    await world.ask(world.bytes("GET /follow-too HTTP/1.1", []));
    await follower.line(1);
    expect(follower.lines.map((line) => (JSON.parse(line) as ApiObject).request.uri)).toEqual([
      "/follow-me",
      "/follow-too",
    ]);
    stop.abort();
    expect((await follower.ended).code).toBe(0);
  });

  it("prints a request that goes on when it has ended, once, by what its answer is", async () => {
    const stop = new AbortController();
    const args = ["requests", "--follow", "--json", "--limit", "1", "--filter", "path=/slow* status=418"];
    const follower = new Run(world.place, args, { stop });
    const answer = Promise.withResolvers<void>();
    world.origin.script = async (connection, { startLine }) => {
      if (startLine.includes("/slow ")) await answer.promise;
      const status = startLine.includes("/slower ") ? 200 : 418;
      connection.write(`HTTP/1.1 ${status} OK\r\nContent-Length: 2\r\n\r\nok`);
    };
    const slow = world.ask(world.bytes("GET /slow HTTP/1.1", []));
    const shown = async (): Promise<unknown> => (await world.api("/api/requests/http?limit=1&path=/slow")).json;
    await expect.poll(shown, { timeout: 20_000 }).toMatchObject({ requests: [{ outcome: "open", response: null }] });
    await world.ask(world.bytes("GET /slower HTTP/1.1", []));
    await world.ask(world.bytes("GET /slow-not HTTP/1.1", []));
    await follower.line(0);
    answer.resolve();
    expect((await slow).status).toBe(418);
    await follower.line(1);
    world.origin.script = undefined;
    expect(follower.lines.map((line) => (JSON.parse(line) as ApiObject).request.uri)).toEqual(["/slow-not", "/slow"]);
    expect(JSON.parse(follower.lines[1] ?? "")).toMatchObject({ outcome: "complete", response: { status_code: 418 } });
    stop.abort();
    expect((await follower.ended).code).toBe(0);
  });

  it("exports HAR to a file of one's own, and imports it again", async () => {
    const file = join(world.place.cwd, "out.har");
    writeFileSync(file, "was there before", { mode: 0o644 });
    expect(
      (await run(world.place, ["requests", "export", "--har", "--filter", "path=/hook status=4xx", "--output", file]))
        .code,
    ).toBe(0);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const har = JSON.parse(readFileSync(file, "utf8"));
    expect(har.log.entries.map((entry: ApiObject) => entry._ggrok.id)).toEqual([hook.id]);
    const { code, stdout } = await run(world.place, ["requests", "import", file]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: "1 imported\n" });
    expect((await world.api(`/api/requests/http/${hook.id}`)).json).toMatchObject({ imported: false });
    expect((await world.api(`/api/requests/http/${hook.id}~2`)).json).toMatchObject({ imported: true });
    writeFileSync(file, "not a har");
    const refused = await run(world.place, ["requests", "import", file]);
    expect({ code: refused.code, stderr: refused.stderr }).toEqual({
      code: 1,
      stderr: expect.stringContaining("no JSON"),
    });
  });

  it("finds the one agent that runs when this folder has none", async () => {
    const { code, stdout, stderr } = await run(world.place, ["requests", "--json", "--limit", "1"], {
      cwd: world.place.folder,
    });
    expect(code).toBe(0);
    expect(stdout).toContain('"id"');
    expect(stderr).toContain(`the exchanges of ${world.place.cwd}`);
    const named = await run(world.place, ["requests", "--limit", "1", "--web-addr", new URL(world.web).host], {
      cwd: "/",
    });
    expect(named.code).toBe(0);
  });

  async function runBytes(args: readonly string[]): Promise<Buffer> {
    const { code, bytes } = await run(world.place, args);
    expect(code).toBe(0);
    return bytes;
  }
});

describe("ggrok requests beside an agent without a local API", () => {
  it("says who has the exchanges, and shows them when it has ended", async () => {
    await using world = await InspectorWorld.start();
    world.agent.kill();
    await world.agent.exited;
    await using silent = world.place.ggrok([
      ...["http", "--json", "--relay", `http://localhost:${world.relay.port}`],
      ...["--web-addr", "false", String(world.origin.port)],
    ]);
    await silent.event("tunnel.online");
    expect(silent.events("inspector.online")).toEqual([]);
    const held = await run(world.place, ["requests"]);
    expect({ code: held.code, stdout: held.stdout }).toEqual({ code: 1, stdout: "" });
    expect(held.stderr).toContain("has no local API to ask (--web-addr false)");
    await world.ask(world.bytes("GET /unseen HTTP/1.1", []));
    silent.kill();
    await silent.exited;
    expect((await run(world.place, ["requests"])).stdout).toMatch(/ GET .* \/unseen$/m);
  });
});

describe("ggrok requests when no agent runs", () => {
  it("reads what was stored, and sends it to an app that is named", async () => {
    await using world = await InspectorWorld.start();
    const bytes = world.bytes("POST /stored HTTP/1.1", [`Content-Length: ${BODY.length}`], BODY);
    const { id } = await world.record(bytes, "path=/stored");
    world.agent.kill();
    expect(await world.agent.exited).toBe(0);

    expect((await run(world.place, ["requests", "--json"])).json).toEqual([expect.objectContaining({ id })]);
    expect((await run(world.place, ["requests", "show", id])).stdout).toContain("POST /stored HTTP/1.1");
    const curl = (await run(world.place, ["requests", "show", id, "--as", "curl"])).stdout;
    expect(curl).toContain("--data-raw");
    const har = JSON.parse((await run(world.place, ["requests", "export", "--har"])).stdout);
    expect(har.log.entries[0].request.postData.text).toBe(BODY.toString());

    const nowhere = await run(world.place, ["replay", id]);
    expect({ code: nowhere.code, stderr: nowhere.stderr }).toEqual({
      code: 1,
      stderr: expect.stringContaining("--to"),
    });
    const before = world.origin.requests.length;
    const replayed = await run(world.place, ["replay", id, "--to", `http://127.0.0.1:${world.origin.port}`, "--json"]);
    expect(replayed.json).toEqual([expect.objectContaining({ status_code: 200 })]);
    expect((await world.origin.request(before)).bytes.equals(BODY)).toBe(true);
    const after = await run(world.place, ["requests", "--json"]);
    expect(after.json[1]).toMatchObject({ id: replayed.json[0].id, replay_of: id });

    await using down = world.place.ggrok(["replay", id, "--to", "http://127.0.0.1:1"]);
    expect({ code: await down.exited, stdout: down.stdout }).toEqual({
      code: 1,
      stdout: expect.stringContaining("ERR_GGROK_UPSTREAM_REFUSED"),
    });
    const follow = await run(world.place, ["requests", "--follow"]);
    expect({ code: follow.code, stderr: follow.stderr }).toEqual({
      code: 1,
      stderr: expect.stringContaining("nothing to follow"),
    });
  });

  it("is asked by several commands at the same time", async () => {
    await using world = await InspectorWorld.start();
    const { id } = await world.record(world.bytes("GET /shared HTTP/1.1", []), "path=/shared");
    world.agent.kill();
    await world.agent.exited;
    // Programs of their own: within one process a file has but one holder.
    const ran = [1, 2, 3].map(() => world.place.ggrok(["requests", "show", id, "--raw"]));
    for (const program of ran) {
      await using ended = program;
      expect({ code: await ended.exited, stderr: ended.stderr }).toEqual({ code: 0, stderr: "" });
      expect(ended.stdout).toContain("GET /shared HTTP/1.1");
    }
  });

  it("says why it cannot be read, and leaves it as it is", async () => {
    await using world = await InspectorWorld.start();
    await world.record(world.bytes("GET /kept HTTP/1.1", []), "path=/kept");
    world.agent.kill();
    await world.agent.exited;
    const folder = join(world.place.folder, "state", "ggrok", "inspector");
    const file = join(folder, readdirSync(folder).find((name) => name.endsWith(".db")) ?? "");
    const good = readFileSync(file);
    const unreadable = async (reason: string): Promise<void> => {
      const before = readFileSync(file);
      for (const args of [["requests"], ["replay", "x"], ["requests", "export"]]) {
        const { code, stdout, stderr } = await run(world.place, args);
        expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
        expect(stderr).toContain(`the recorded exchanges in ${file} cannot be read: ${reason}`);
        expect(stderr).toContain("ERR_GGROK_HISTORY_UNREADABLE");
      }
      expect(readFileSync(file).equals(before)).toBe(true);
    };
    writeFileSync(file, "no database, only a text");
    await unreadable("file is not a database");
    writeFileSync(file, good);
    const db = new DatabaseSync(file);
    db.exec("PRAGMA user_version = 99");
    db.close();
    await unreadable("it was written by a later version of ggrok");
    const again = new DatabaseSync(file);
    again.exec("PRAGMA user_version = 1; UPDATE exchanges SET record = ''");
    again.close();
    const damaged = await run(world.place, ["requests"]);
    expect({ code: damaged.code, stdout: damaged.stdout }).toEqual({ code: 0, stdout: "" });
    expect(damaged.stderr).toContain("some of the recorded exchanges are damaged");
  });

  it("says that there is nothing", async () => {
    await using place = new Place();
    const { code, stderr } = await run(place, ["requests"]);
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining("nothing is recorded") });
  });
});
