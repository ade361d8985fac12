import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { within } from "../harness/deadline.ts";

const BIN = fileURLToPath(new URL("../../node_modules/.bin/", import.meta.url));

it("a program started from node_modules/.bin hears its signals", async () => {
  const relay = spawn(`${BIN}ggrok-relay`, ["--port", "0", "--log-format", "json"]);
  try {
    const lines = createInterface({ input: relay.stdout })[Symbol.asyncIterator]();
    expect((await within("its first line", lines.next())).value).toContain("relay.listening");
    const exited = once(relay, "exit");
    relay.kill("SIGTERM");
    // Not [null, "SIGTERM"]: that would be a shell in front of a relay that runs on.
    expect(await within("its end", exited)).toEqual([0, null]);
  } finally {
    relay.kill("SIGKILL");
  }
});
