import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import { InspectorWorld } from "./inspector-world.ts";

const run = promisify(execFile);
const PAGE = readFileSync(new URL("../../docs/inspector-api.md", import.meta.url), "utf8");
const COMMANDS = [...PAGE.matchAll(/^```sh\n(.*?)^```$/gms)].flatMap((block) => (block[1] ?? "").trim().split("\n"));

let world: InspectorWorld;
beforeAll(async () => {
  world = await InspectorWorld.start();
});
afterAll(() => world[Symbol.asyncDispose]());

/** A command line as a shell would split it; single quotes are all the page uses. */
function split(command: string): string[] {
  return [...command.matchAll(/'([^']*)'|(\S+)/g)].map((match) => match[1] ?? match[2] ?? "");
}

it("has commands, and each does what the page says", async () => {
  expect(COMMANDS.length).toBeGreaterThan(14);
  await world.ask(`${world.head("POST /hooks/a HTTP/1.1", "Content-Length: 5")}hello`);
  const { id } = await world.exchange("path=/hooks/a");
  const said = new Map<string, string>();
  for (const command of COMMANDS) {
    const [program = "", ...args] = split(command.replace("http://127.0.0.1:4040", world.web).replace("ID", id));
    // Events end with curl's own clock, which is exit code 28.
    const { stdout } = await run(program, args).catch((error: { code?: number; stdout: string }) => {
      if (error.code === 28) return error;
      throw error;
    });
    said.set(command.replace(/^curl -s\S* /, "").replace("http://127.0.0.1:4040", ""), stdout);
  }
  const saidBy = (command: string): string => {
    const text = said.get(command);
    if (text === undefined) throw new Error(`no such command: ${command}; there are ${[...said.keys()].join("\n")}`);
    return text;
  };
  const list = JSON.parse(saidBy("'/api/requests/http?method=POST&status=2xx&path=/hooks/*'"));
  expect(list.requests.map((r: { id: string }) => r.id)).toEqual([id]);
  expect(Object.keys(list.requests[0]).sort()).toEqual(memberNames());
  expect(JSON.parse(saidBy("/api/requests/http/ID")).request.header_list).toContain("Content-Length");
  expect(saidBy("/api/requests/http/ID/request-body")).toBe("hello");
  expect(saidBy("/api/requests/http/ID/response-body?decoded=1")).toBe("ok");
  expect(JSON.parse(saidBy("/api/requests/http/ID/messages"))).toEqual({ messages: [], more: false });
  expect(saidBy("/api/requests/http/ID/curl")).toMatch(/^curl /);
  expect(JSON.parse(saidBy("/api/requests/har?ids=ID")).log.entries).toHaveLength(1);
  expect(JSON.parse(saidBy("/api/tunnels")).tunnels[0].public_url).toBe(`http://${world.host}`);
  expect(JSON.parse(saidBy("/api/endpoints")).endpoints[0].type).toBe("agent");
  expect(JSON.parse(saidBy("/api/status")).status).toBe("online");
  expect(JSON.parse(saidBy(`/api/requests/http -d '{"id":"ID"}'`)).replays).toMatchObject([{ status_code: 200 }]);
  const edited = [...said].find(([command]) => command.includes("set_headers"))?.[1] ?? "";
  expect(JSON.parse(edited).replays).toHaveLength(3);
  expect(saidBy("--max-time 2 /api/events")).toMatch(/^event: stats$/m);
  // The last command forgets everything.
  expect((await world.api("/api/requests/http")).json.requests).toEqual([]);
});

/** The members of a summary in the page's table. */
function memberNames(): string[] {
  const table = PAGE.slice(PAGE.indexOf("A summary has:"), PAGE.indexOf("The whole adds"));
  const cells = [...table.matchAll(/^\| (`[^|]*) \|/gm)].map((match) => match[1] ?? "");
  return cells.flatMap((cell) => [...cell.matchAll(/`([a-z_]+)`/g)].map((match) => match[1] ?? "")).sort();
}
