import { once } from "node:events";
import { DialError, type DialOptions, openSocket } from "../agent/dial.ts";
import { FailureExit, type Finding, failed, fine, warning } from "./finding.ts";

/** How often the distance is measured. */
const PINGS = 3;
/** For one ping and its answer. */
const PING_TIMEOUT_MS = 5_000;
/** Above it people feel each click. */
const SLOW_MS = 300;

/** Connects as an agent does, up to but without a session: nothing of a running agent is disturbed. */
export async function* checkSession(o: DialOptions, signal: AbortSignal): AsyncGenerator<Finding> {
  let opened: Awaited<ReturnType<typeof openSocket>>;
  try {
    opened = await openSocket(o, signal);
  } catch (error) {
    if (!(error instanceof DialError)) throw error;
    yield* judge(error, o);
    return;
  }
  const { ws } = opened;
  try {
    yield fine("upgrade", `WebSocket open, ${ws.protocol}`);
    yield fine(
      "authentication",
      o.token === undefined ? "the relay takes agents without a token" : "the relay accepts the token",
    );
    yield await measure(ws, signal);
  } finally {
    ws.terminate();
  }
}

function* judge(dialError: DialError, o: DialOptions): Generator<Finding> {
  const { error } = dialError;
  if (error.code === "ERR_GGROK_TOKEN_REFUSED") {
    yield fine("upgrade", "the relay answers where agents connect");
    const fix =
      o.token === undefined
        ? `No token is set for this relay: ask its operator for one, then \`ggrok login ${o.relay.origin}\`.`
        : `Ask the relay's operator for a new token, then \`ggrok login ${o.relay.origin}\`.`;
    yield failed("authentication", error.message, fix, FailureExit.Token);
    return;
  }
  if (error.code === "ERR_GGROK_VERSION_UNSUPPORTED") {
    yield failed("upgrade", error.message, error.nextStep, FailureExit.Version);
    return;
  }
  const isOwnWord = error.code !== "ERR_GGROK_RELAY_UNREACHABLE";
  const fix = isOwnWord
    ? error.nextStep
    : "Something in between does not pass WebSockets: allow the upgrade in the front end, or have the inspecting proxy leave this host alone.";
  yield failed("upgrade", error.message, fix, FailureExit.Unreachable);
}

async function measure(ws: Awaited<ReturnType<typeof openSocket>>["ws"], signal: AbortSignal): Promise<Finding> {
  const times: number[] = [];
  try {
    for (let i = 0; i < PINGS; i++) {
      const answered = once(ws, "pong", { signal: AbortSignal.any([signal, AbortSignal.timeout(PING_TIMEOUT_MS)]) });
      const sentAt = performance.now();
      ws.ping();
      await answered;
      times.push(performance.now() - sentAt);
    }
  } catch {
    const fix = "Something in between holds WebSocket frames back: an inspecting proxy, or a front end that buffers.";
    return failed("round-trip", "a ping was not answered within 5 s", fix, FailureExit.Unreachable);
  }
  const best = Math.min(...times);
  const message = `${best < 10 ? best.toFixed(1) : Math.round(best)} ms at best of ${PINGS}`;
  if (best <= SLOW_MS) return fine("round-trip", message);
  return warning("round-trip", message, "Every request waits at least this long: a relay nearer to you would help.");
}
