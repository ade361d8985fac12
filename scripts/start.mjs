// npm start [-- PORT]: a relay on loopback and a tunnel to an app, in front until Ctrl+C.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { startDemoApp } from "./lib/demo-app.mjs";
import { childEnvironment, main, pinnedNode, root, SetupError } from "./lib/run.mjs";
import { setup } from "./lib/setup.mjs";

const FIRST_PORT = 8080;
const LAST_PORT = 8180;
const START_TIMEOUT_MS = 20_000;
const PARENT_LOOK_MS = 500;

// The shell that npm runs this in.
const parent = process.ppid;

/** The first port from `first` on that nothing listens on, on either loopback family. */
async function freePort(first) {
  for (let port = first; port <= LAST_PORT; port++) {
    if ((await canListen(port, "127.0.0.1")) && (await canListen(port, "::1"))) return port;
  }
  throw new SetupError(`No free port between ${FIRST_PORT} and ${LAST_PORT}.`);
}

async function canListen(port, host) {
  const probe = createServer();
  try {
    probe.listen({ port, host });
    await once(probe, "listening");
    return true;
  } catch (error) {
    // A machine without IPv6 has nothing that could be in the way there.
    return error.code === "EADDRNOTAVAIL" || error.code === "EAFNOSUPPORT";
  } finally {
    probe.close();
  }
}

/**
 * Starts one of the two programs. It gets a process group of its own: a Ctrl+C in the terminal must reach it once, from
 * here, since the second one means "at once".
 */
function start(name, script, args, onLine) {
  const child = spawn(pinnedNode(), [join(root, "packages", script), ...args], {
    cwd: root,
    env: withoutSettings(childEnvironment()),
    stdio: ["ignore", "pipe", "pipe"],
    detached: process.platform !== "win32",
  });
  const exited = new Promise((resolve) => {
    child.on("error", (error) => resolve(error.message));
    // Not "exit": the last lines are to be read first.
    child.on("close", (code, signal) => resolve(signal ?? `exit code ${code}`));
  });
  let isPortTaken = false;
  createInterface({ input: child.stderr }).on("line", (line) => {
    isPortTaken ||= line.includes("EADDRINUSE");
    // Another port is tried, and nobody has to do what these lines say.
    if (!isPortTaken) console.error(`[${name}] ${line}`);
  });
  createInterface({ input: child.stdout }).on("line", (line) => {
    let event;
    try {
      event = JSON.parse(line);
    } catch {
      console.log(`[${name}] ${line}`);
      return;
    }
    onLine(event);
  });
  process.once("exit", () => child.kill("SIGKILL"));
  return {
    name,
    child,
    exited,
    get isPortTaken() {
      return isPortTaken;
    },
  };
}

/** Settings of this machine's own relay and agent are not meant for these two. */
function withoutSettings(env) {
  return Object.fromEntries(Object.entries(env).filter(([name]) => name !== "PORT" && !name.startsWith("GGROK_")));
}

/** Starts the relay on the first free port, or on the next where somebody was faster. `onStart` hears of each process. */
async function startRelay(stopped, onStart) {
  for (let first = FIRST_PORT; ; ) {
    const port = await freePort(first);
    const listening = waiter("The relay did not listen", (line) =>
      line.event === "relay.listening" ? line.url : undefined,
    );
    const relay = start(
      "relay",
      join("server", "bin", "ggrok-relay.js"),
      ["--port", String(port), "--domain", "localhost", "--bind", "127.0.0.1", "--log-format", "json"],
      (line) => {
        listening.listen(line);
        // That it takes agents of this machine only is what it is for.
        const isWorthSaying = line.level === "warn" || line.level === "error" || line.level === "fatal";
        if (isWorthSaying && line.event !== "relay.notice") console.error(`[relay] ${line.msg}`);
      },
    );
    onStart(relay);
    try {
      await settle(relay, listening, stopped);
      return port;
    } catch (error) {
      if (!relay.isPortTaken) throw error;
      first = port + 1;
    }
  }
}

/** Resolves with the first event for which `pick` gives something; `listen` is what the program's lines go to. */
function waiter(what, pick) {
  let done;
  const promise = new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new SetupError(`${what} within ${START_TIMEOUT_MS / 1_000} s.`)),
      START_TIMEOUT_MS,
    );
    done = (value) => {
      clearTimeout(timer);
      resolve(value);
    };
  });
  return {
    promise,
    listen(event) {
      const value = pick(event);
      if (value !== undefined) done(value);
    },
    forget: () => done(undefined),
  };
}

/** What was waited for; undefined when it was stopped meanwhile. Throws when the program ends instead. */
async function settle(program, waiting, stopped) {
  const ended = program.exited.then((how) => {
    throw new SetupError(`The ${program.name} ended while starting (${how}).`);
  });
  try {
    return await Promise.race([waiting.promise, stopped.then(() => undefined), ended]);
  } finally {
    waiting.forget();
  }
}

/**
 * Calls back when the shell of `npm start` is gone. A signal that npm alone is sent goes to that shell and no further, and
 * nobody would be left to end what runs here. Who runs this script without npm may leave it behind on purpose.
 */
function watchParent(onGone) {
  if (process.env.npm_lifecycle_event === undefined) return;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    onGone();
  }, PARENT_LOOK_MS);
  timer.unref();
}

function parsePort(text) {
  if (text === undefined) return undefined;
  const port = Number(text);
  if (!Number.isInteger(port) || port < 1 || port > 65_535) {
    throw new SetupError(`"${text}" is no port. Usage: npm start [-- PORT]`);
  }
  return port;
}

await main(async () => {
  const appPort = parsePort(process.argv[2]);
  await setup();

  const programs = [];
  let stopping = false;
  let stop = () => {};
  const stopped = new Promise((resolve) => {
    stop = (signal) => {
      if (stopping) {
        for (const { child } of programs) child.kill(signal); // the second one: at once
        return;
      }
      stopping = true;
      resolve(signal);
    };
  });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => stop(signal));
  watchParent(() => {
    if (!stopping) stop("SIGTERM");
  });

  const demo = appPort === undefined ? await startDemoApp() : undefined;
  try {
    const target = appPort ?? demo.port;
    const port = await startRelay(stopped, (relay) => programs.splice(0, programs.length, relay));
    if (stopping) return 0;

    const online = waiter("The agent opened no tunnel", (event) =>
      event.event === "tunnel.online" ? event.url : undefined,
    );
    let inspectorUrl;
    const agent = start(
      "agent",
      join("client", "bin", "ggrok.js"),
      // No proxy, whatever the user's configuration says: it would not find this machine.
      ["http", String(target), "--relay", `http://localhost:${port}`, "--proxy", "", "--json"],
      (event) => {
        online.listen(event);
        if (event.event === "inspector.online") inspectorUrl = event.url;
        if (event.event === "inspector.online" && isUp) console.log(`Inspector:       ${event.url}`);
        if (event.event === "request")
          console.log(`${event.method} ${event.path} ${event.status ?? "-"} ${event.durationMs} ms`);
        if (event.event === "error") console.error(`${event.code}: ${event.message}`);
        if (event.event === "session.reconnecting") console.error(`Reconnecting: ${event.reason}`);
      },
    );
    let isUp = false;
    programs.unshift(agent);
    const url = await settle(agent, online, stopped);
    if (!stopping) {
      isUp = true;
      console.log(`\nPublic address:  ${url}`);
      console.log(`Forwards to:     http://localhost:${target}${demo === undefined ? "" : " (the demo app)"}`);
      if (inspectorUrl !== undefined) console.log(`Inspector:       ${inspectorUrl}`);
      console.log("Ctrl+C stops both.\n");
    }
    const ended = await Promise.race([
      stopped.then(() => undefined),
      ...programs.map(async (program) => `The ${program.name} ended (${await program.exited}).`),
    ]);
    if (ended === undefined || stopping) return 0;
    throw new SetupError(ended);
  } finally {
    stopping = true;
    // The agent first: it finishes its open exchanges through a relay that still stands.
    for (const { child, exited } of programs) {
      if (child.exitCode === null && child.signalCode === null) child.kill("SIGTERM");
      await exited;
    }
    demo?.close();
  }
});
