import { Agent, type IncomingMessage, request } from "node:http";
import { connect, createServer } from "node:net";
import type { Duplex } from "node:stream";
import { z } from "zod";
import type { ListenAddress } from "../config/values.ts";
import { createDial } from "../forward/dial.ts";
import type { Target } from "../forward/target.ts";
import { FailureExit, type Finding, failed, fine, skipped, warning } from "./finding.ts";

const CONNECT_TIMEOUT_MS = 2_000;
const ANSWER_TIMEOUT_MS = 5_000;
const statusSchema = z.object({ status: z.string(), relay: z.string() });

/** Whether something listens where the app should, on each loopback family where the name is `localhost`. */
export async function checkLocalPort(target: Target): Promise<Finding> {
  if (target.folder !== undefined) return skipped("local-port", `${target.label} is a folder: no app is needed`);
  if (target.socketPath !== undefined) return await checkSocket(target.socketPath);
  const hosts = target.isLocalhostName ? ["127.0.0.1", "::1"] : [target.hostname];
  const knocks = hosts.map(async (host) => ({ host, error: await knock({ host, port: target.port }) }));
  const outcomes = await Promise.all(knocks);
  const open = outcomes.filter(({ error }) => error === undefined).map(({ host }) => host);
  const closed = outcomes.filter(({ error }) => error !== undefined).map(({ host, error }) => `${host} (${error})`);
  if (open.length === 0) {
    const fix = `Start the app, or check the port: nothing accepts connections at ${target.authority}.`;
    return failed("local-port", `closed: ${closed.join(", ")}`, fix, FailureExit.App);
  }
  const rest = closed.length === 0 ? "" : `; not on ${closed.join(", ")}, which is no harm`;
  return fine("local-port", `port ${target.port} is open on ${open.join(" and ")}${rest}`);
}

/** Whether the app answers a host that is not its own as it answers its own. */
export async function checkHost(target: Target, publicHost: string): Promise<Finding> {
  if (target.folder !== undefined) return skipped("host-check", `${target.label} is a folder: no app is asked`);
  let own: number;
  let foreign: number;
  try {
    own = await askStatus(target, target.authority);
    foreign = await askStatus(target, publicHost);
  } catch (error) {
    const what = error instanceof Error ? error.message : String(error);
    return warning(
      "host-check",
      `no HTTP answer: ${what}`,
      "If this is no HTTP server, use `ggrok tcp`; else look at its log.",
    );
  }
  if (own < 400 && (foreign === 400 || foreign === 403 || foreign === 421)) {
    const fix = "`ggrok http` rewrites the Host field where it knows the server; --host-header=rewrite does it always.";
    return warning("host-check", `the app answers ${own} to ${target.authority}, but ${foreign} to ${publicHost}`, fix);
  }
  return fine("host-check", `the app answers ${foreign} to ${publicHost}, ${own} to ${target.authority}`);
}

/** Whether the local API gets its port. */
export async function checkInspector(address: ListenAddress | false): Promise<Finding> {
  if (address === false) return skipped("inspector", "the local API is turned off");
  const shown = `${address.host.includes(":") ? `[${address.host}]` : address.host}:${address.port}`;
  const code = await tryToListen(address);
  if (code === undefined) return fine("inspector", `${shown} is free`);
  if (code !== "EADDRINUSE") {
    return warning("inspector", `${shown} cannot be listened on (${code})`, "Give another address with --web-addr.");
  }
  const running = await askAgent(address);
  if (running !== undefined) {
    return fine(
      "inspector",
      `an agent runs at ${shown} (${running.relay}, ${running.status}); the next takes the next port`,
    );
  }
  const fix = "The agent takes the next free port and says which; --web-addr chooses another.";
  return warning("inspector", `${shown} is taken by another program`, fix);
}

async function checkSocket(path: string): Promise<Finding> {
  const error = await knock({ path });
  if (error === undefined) return fine("local-port", `the socket ${path} accepts connections`);
  return failed(
    "local-port",
    `the socket ${path} is closed (${error})`,
    "Start the app, or check the path.",
    FailureExit.App,
  );
}

/** The error's code, or nothing where a connection was accepted. */
function knock(at: { host: string; port: number } | { path: string }): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ ...at, timeout: CONNECT_TIMEOUT_MS });
    const settle = (outcome: string | undefined): void => {
      resolve(outcome);
      socket.destroy();
    };
    socket.once("connect", () => settle(undefined));
    socket.once("timeout", () => settle("ETIMEDOUT"));
    socket.on("error", (error: NodeJS.ErrnoException) => settle(error.code ?? error.message));
  });
}

function askStatus(target: Target, host: string): Promise<number> {
  const dial = createDial(target);
  const agent = new Agent();
  agent.createConnection = (_options, done?: (error: Error | null, socket: Duplex) => void) => {
    // Node asks for a socket beside an error; it looks at the error first.
    dial({ allowHalfOpen: false }, (error, socket) => done?.(error, socket as unknown as Duplex));
    return undefined;
  };
  return new Promise((resolve, reject) => {
    const call = request({ path: `${target.basePath}/`, agent, headers: { host, accept: "text/html" } });
    call.setTimeout(ANSWER_TIMEOUT_MS, () => call.destroy(new Error("no answer within 5 s")));
    call.on("response", (response) => {
      resolve(response.statusCode ?? 0);
      call.destroy();
    });
    call.on("error", reject);
    call.end();
  });
}

function tryToListen(address: ListenAddress): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    server.listen({ host: address.host, port: address.port }, () => server.close(() => resolve(undefined)));
  });
}

async function askAgent(address: ListenAddress): Promise<{ status: string; relay: string } | undefined> {
  const host = address.host === "0.0.0.0" ? "127.0.0.1" : address.host;
  try {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const call = request(
        { host, port: address.port, path: "/api/status", timeout: CONNECT_TIMEOUT_MS, agent: false },
        resolve,
      );
      call.on("timeout", () => call.destroy(new Error("timeout")));
      call.on("error", reject);
      call.end();
    });
    let text = "";
    for await (const chunk of response) {
      text += String(chunk);
      if (text.length > 65_536) break;
    }
    return statusSchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}
