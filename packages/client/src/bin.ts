import { runProgram } from "./cli/program.ts";

// The process: the one place that knows signals. The first lets open exchanges finish, the second ends at once.
const stop = new AbortController();
let onHangup: (() => void) | undefined;
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => {
    // A terminal that is closed sends the same signal, and then there is nobody left to serve.
    if (signal === "SIGHUP" && onHangup !== undefined && !process.stdin.isTTY) {
      onHangup();
      return;
    }
    if (stop.signal.aborted) process.exit(1);
    stop.abort(new Error(signal));
  });
}

// `ggrok … | head -1` closes our output; the tunnel goes on without it. `ggrok connect --stdio` gives it up itself when its
// connection breaks, which is told by the exit code.
const OWN_END = new Set<string | undefined>(["EPIPE", "ABORT_ERR"]);
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (!OWN_END.has(error.code)) throw error;
  });
}

const code = await runProgram(process.argv.slice(2), {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  cwd: process.cwd(),
  stop: stop.signal,
  onHangup(listener) {
    onHangup = listener;
    return () => {
      onHangup = undefined;
    };
  },
});

// What was written goes out first; then nothing that still idles (a kept connection, a prompt) holds the process.
await Promise.all(
  [process.stdout, process.stderr].map((stream) => new Promise((resolve) => stream.write("", resolve))),
);
process.exit(code);
