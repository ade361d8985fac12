// A command beside its tunnel on a real terminal, made by script(1).
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { Changes, eventually } from "../harness/deadline.ts";
import { freePort, Place, RelayProcess } from "./cli-world.ts";

const CLIENT_BIN = fileURLToPath(new URL("../../packages/client/src/bin.ts", import.meta.url));
const DEADLINE_MS = 30_000;

/** Reads from the terminal, and ends a moment after Ctrl+C, counting what comes until then; at SIGTERM it leaves a note. */
const SERVER = `
let signals = 0;
const count = (name) => {
  signals += 1;
  if (signals === 1) setTimeout(() => { console.log(name + " came " + signals); process.exit(9); }, 300);
};
process.on("SIGINT", () => count("SIGINT"));
process.on("SIGTERM", () => { require("node:fs").writeFileSync("told", "to end"); process.exit(0); });
process.stdin.on("data", (line) => console.log("read " + line));
require("node:http").createServer().listen(Number(process.env.PORT), "127.0.0.1");
`;

/** `ggrok http PORT -- sh -c "node server; …"` on a terminal of its own. */
async function start(place: Place, relay: RelayProcess) {
  const server = join(place.cwd, "server.cjs");
  const pid = join(place.cwd, "pid");
  writeFileSync(server, SERVER);
  const node = [process.execPath, "--conditions=ggrok-source", "--disable-warning=ExperimentalWarning", CLIENT_BIN];
  const own = ["http", "--relay", relay.origin, "--web-addr", "false", String(await freePort()), "--"];
  // The shell stays the server's parent, as npm does.
  const command = ["sh", "-c", `trap "" INT; "${process.execPath}" "${server}"; exit $?`];
  const line = [...node, ...own, ...command].map((argument) => `'${argument}'`).join(" ");
  const child = spawn("script", ["-qefc", `echo $$ > '${pid}'; exec ${line}`, "/dev/null"], {
    cwd: place.cwd,
    env: { ...place.env, TERM: "xterm", SHELL: "/bin/sh" },
  });
  const exited = once(child, "close").then(([code]) => code as number);
  const changes = new Changes();
  let text = "";
  child.stdout.on("data", (chunk: Buffer) => {
    text += chunk.toString("utf8");
    changes.notify();
  });
  return {
    exited,
    shows: (part: string) =>
      changes.until(
        () => `${part} in\n${text}`,
        () => text.includes(part),
        DEADLINE_MS,
      ),
    type: (keys: string) => child.stdin.write(keys),
    kill: (signal: NodeJS.Signals) => process.kill(Number(readFileSync(pid, "utf8")), signal),
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null) child.kill("SIGKILL");
      await exited;
    },
  };
}

it("lets the command read from the terminal, and Ctrl+C reaches it once", async () => {
  await using relay = await RelayProcess.start();
  await using place = new Place();
  await using terminal = await start(place, relay);
  await terminal.shows(`.localhost:${relay.port}`);
  terminal.type("hello\n");
  await terminal.shows("read hello");
  terminal.type("\u0003");
  await terminal.shows("SIGINT came 1");
  expect(await terminal.exited).toBe(9);
});

it("hands SIGTERM on to all that the command has started", async () => {
  await using relay = await RelayProcess.start();
  await using place = new Place();
  await using terminal = await start(place, relay);
  await terminal.shows(`.localhost:${relay.port}`);
  terminal.kill("SIGTERM");
  await terminal.exited;
  await eventually(
    () => "the command to hear of it",
    () => existsSync(join(place.cwd, "told")),
  );
});
