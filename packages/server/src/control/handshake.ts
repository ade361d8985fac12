import { createHash } from "node:crypto";
import {
  CAPABILITIES,
  type ControlMessage,
  decodeControlMessage,
  type ErrorCode,
  encodeControlMessage,
  GgrokError,
  type Hello,
  LIMITS,
  type MemoryBudget,
  PROTOCOL_VERSION,
  SUPPORTED_PROTOCOLS,
  type Transport,
} from "@ggrok/protocol";
import { Principal } from "../auth/principal.ts";
import { countCode } from "../observability/metrics.ts";
import type { RelayOrigin } from "../registry/names.ts";
import { Agent, type AgentDeps } from "./agent.ts";
import { Connector, type ConnectorIdentity } from "./connector.ts";
import type { AgentDirectory } from "./directory.ts";
import { agentRefusal, connectorRefusal, type RefusalDeps } from "./handshake-refusal.ts";
import { makeSessionId } from "./session-id.ts";
import { makeSecret } from "./session-secret.ts";

/** What a handshake needs. */
export interface HandshakeDeps extends AgentDeps, RefusalDeps {
  readonly relayId: string;
  readonly domain: string | undefined;
  readonly budget: MemoryBudget;
}

/** What is known of a connection before its hello. */
export interface Greeting {
  /** Undefined when the agent's id is its identity. */
  readonly principal: Principal | undefined;
  readonly origin: RelayOrigin;
  /** It came by the path of connectors. */
  readonly connector?: ConnectorIdentity;
}

const HEARTBEAT = { intervalMs: LIMITS.HEARTBEAT_INTERVAL_MS, timeoutMs: LIMITS.HEARTBEAT_TIMEOUT_MS };
/** Agents open no streams at the relay; connectors do. */
const AGENT_STREAMS = 0;

/**
 * Waits for the hello on a connection that was just upgraded, and answers it with welcome or refused.
 *
 * @param onDone called once when the connection is greeted, refused or gone
 */
export function greet(transport: Transport, greeting: Greeting, deps: HandshakeDeps, onDone: () => void): void {
  let isDone = false;
  const done = (): boolean => {
    if (isDone) return false;
    isDone = true;
    clearTimeout(timer);
    onDone();
    return true;
  };
  const timer = setTimeout(() => {
    if (done())
      refuse(
        transport,
        "ERR_GGROK_HANDSHAKE_TIMEOUT",
        `no hello within ${String(LIMITS.HANDSHAKE_TIMEOUT_MS)} ms`,
        "after",
      );
  }, LIMITS.HANDSHAKE_TIMEOUT_MS);
  transport.handler = {
    onMessage: (message) => {
      if (!done()) return;
      const hello = readHello(message);
      if (hello instanceof GgrokError) transport.close(hello.closeCode, hello.message);
      else if (greeting.connector !== undefined) admitConnector(transport, hello, greeting.connector, deps);
      else admit(transport, hello, greeting, deps);
    },
    onDrain() {},
    onClose: () => {
      done();
    },
  };
}

function readHello(message: Buffer): Hello | GgrokError {
  let first: ControlMessage | undefined;
  try {
    first = decodeControlMessage(message);
  } catch (error) {
    return error instanceof GgrokError ? error : new GgrokError("ERR_GGROK_PROTOCOL_VIOLATION", { cause: error });
  }
  return first?.type === "hello"
    ? first
    : new GgrokError("ERR_GGROK_PROTOCOL_VIOLATION", { message: "the first message must be hello" });
}

function admit(transport: Transport, hello: Hello, greeting: Greeting, deps: HandshakeDeps): void {
  const { directory, metrics } = deps;
  const who = greeting.principal ?? anonymousPrincipal(hello.agentId);
  const principal = who.id;
  const current = directory.currentOf({ principal, instance: hello.instance, slot: hello.slot });
  const refusal = agentRefusal(hello, who, current, deps);
  if (refusal !== undefined) {
    metrics.handshakes.refused += 1;
    countCode(metrics.refusedHandshakes, refusal.code);
    refuse(transport, refusal.code, refusal.message, refusal.retry);
    return;
  }
  const { resume, previous } = hello;
  const lost = resume === undefined ? undefined : findKnown(resume, hello, principal, directory);
  if (resume !== undefined && lost?.session.isResumable === true) {
    const received = lost.session.detach();
    const secret = lost.rotateSecret(resume.secret);
    metrics.handshakes.resumed += 1;
    welcome(transport, { agent: lost, secret, resumed: true, received }, deps);
    lost.resume(transport, hello.attempt, resume.received);
    return;
  }
  const account = previous === undefined ? undefined : findKnown(previous, hello, principal, directory);
  if (previous !== undefined) account?.session.destroy(new GgrokError("ERR_GGROK_SESSION_LOST"), previous);
  current?.supersede();
  metrics.handshakes.new += 1;
  startAgent(transport, { principal: who, hello, origin: greeting.origin, predecessor: current }, deps);
}

function admitConnector(transport: Transport, hello: Hello, identity: ConnectorIdentity, deps: HandshakeDeps): void {
  const { connectors, metrics } = deps;
  const refusal = connectorRefusal(hello, identity, deps);
  if (refusal !== undefined) {
    metrics.handshakes.refused += 1;
    countCode(metrics.refusedHandshakes, refusal.code);
    refuse(transport, refusal.code, refusal.message, refusal.retry);
    return;
  }
  metrics.handshakes.new += 1;
  const connector = new Connector(identity, hello, deps, (gone) => connectors.remove(gone));
  connectors.add(connector);
  connector.start(transport);
}

/** An agent without a token is known by its id, which is a secret of 256 bits. */
function anonymousPrincipal(agentId: string): Principal {
  return new Principal(`agent:${createHash("sha256").update(agentId).digest("hex").slice(0, 16)}`, "anonymous");
}

/** The session a hello speaks of, when it shows the right secret and comes from the process that had it. */
function findKnown(
  shown: { session: string; secret: string },
  hello: Hello,
  principal: string,
  directory: AgentDirectory,
): Agent | undefined {
  const agent = directory.bySession(shown.session);
  const isSame =
    agent !== undefined &&
    agent.principal === principal &&
    agent.instance === hello.instance &&
    agent.slot === hello.slot;
  return isSame && agent.knowsSecret(shown.secret) ? agent : undefined;
}

function startAgent(
  transport: Transport,
  who: { principal: Principal; hello: Hello; origin: RelayOrigin; predecessor: Agent | undefined },
  deps: HandshakeDeps,
): void {
  const { hello } = who;
  const secret = makeSecret();
  const agent = new Agent(
    {
      ...who,
      secret,
      id: makeSessionId(),
      session: {
        resumable: hello.capabilities.includes(CAPABILITIES.Resume),
        localWindow: LIMITS.REQUEST_WINDOW_INITIAL_BYTES,
        peerWindow: hello.window,
        peerMaxStreams: hello.maxStreams,
        localMaxStreams: AGENT_STREAMS,
        heartbeat: HEARTBEAT,
        budget: deps.budget,
      },
      onGone: (gone) => deps.directory.remove(gone),
    },
    deps,
  );
  deps.directory.add(agent);
  welcome(transport, { agent, secret, resumed: false, received: 0 }, deps, hello.capabilities);
  agent.start(transport);
}

interface WelcomeFacts {
  agent: Agent;
  secret: string;
  resumed: boolean;
  received: number;
}

function welcome(
  transport: Transport,
  facts: WelcomeFacts,
  deps: HandshakeDeps,
  offered: readonly string[] = [CAPABILITIES.Resume],
): void {
  const { agent } = facts;
  const known: readonly string[] = Object.values(CAPABILITIES);
  transport.send(
    encodeControlMessage({
      type: "welcome",
      session: agent.id,
      secret: facts.secret,
      relayId: deps.relayId,
      version: PROTOCOL_VERSION,
      capabilities: known.filter((capability) => offered.includes(capability)),
      window: LIMITS.REQUEST_WINDOW_INITIAL_BYTES,
      maxStreams: AGENT_STREAMS,
      heartbeat: HEARTBEAT,
      holdMs: deps.holdMs,
      resumed: facts.resumed,
      received: facts.received,
      slots: 1,
      publicUrl: `${agent.origin.scheme}://${agent.origin.authority}`,
      ...(deps.domain !== undefined && { domain: deps.domain }),
    }),
  );
  transport.flush();
}

/** Says why there is no session and closes. */
function refuse(transport: Transport, code: ErrorCode, message: string, retry: "never" | "after"): void {
  const again = retry === "after" ? { afterMs: 1_000 } : {};
  transport.send(
    encodeControlMessage({ type: "refused", code, message, retry, ...again, supported: [...SUPPORTED_PROTOCOLS] }),
  );
  transport.close(new GgrokError(code).closeCode, message);
}
