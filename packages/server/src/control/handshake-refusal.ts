import { ERRORS, type ErrorCode, type Hello } from "@ggrok/protocol";
import type { Principal } from "../auth/principal.ts";
import { RELAY_LIMITS } from "../limits.ts";
import type { Agent } from "./agent.ts";
import type { ConnectorDirectory, ConnectorIdentity } from "./connector.ts";
import type { AgentDirectory } from "./directory.ts";

/** Why a hello gets no session. */
export interface HandshakeRefusal {
  readonly code: ErrorCode;
  readonly message: string;
  /** Whether the same hello may have better luck later. */
  readonly retry: "never" | "after";
}

/** What is to be known of the relay. */
export interface RefusalDeps {
  readonly directory: AgentDirectory;
  readonly connectors: ConnectorDirectory;
  /** The relay is going down and starts nothing new. */
  isDraining(): boolean;
  /** It has more to do than it can and starts nothing new. */
  isOverloaded(): boolean;
}

/** Why an agent is refused. @param current the connection of the same process and slot that is here */
export function agentRefusal(
  hello: Hello,
  principal: Principal,
  current: Agent | undefined,
  { directory, isDraining, isOverloaded }: RefusalDeps,
): HandshakeRefusal | undefined {
  if (isDraining()) return later("ERR_GGROK_RELAY_DRAINING");
  if (hello.role !== "agent")
    return never("ERR_GGROK_VERSION_UNSUPPORTED", `this relay takes agents, not the role "${hello.role}"`);
  if (!principal.may("bind")) return never("ERR_GGROK_TOKEN_REFUSED", "this token may not bind");
  // Who comes back goes on with what is under way.
  if (hello.resume === undefined && isOverloaded()) return later("ERR_GGROK_RELAY_OVERLOADED");
  if (current !== undefined && hello.attempt <= current.attempt) {
    const late = `attempt ${String(hello.attempt)} is late`;
    return never("ERR_GGROK_SUPERSEDED", `${late}: attempt ${String(current.attempt)} of the same process is here`);
  }
  if (current !== undefined) return undefined;
  const { maxSessions, maxSessionsPerPrincipal } = RELAY_LIMITS;
  if (directory.size >= maxSessions)
    return later(
      "ERR_GGROK_RELAY_OVERLOADED",
      `${String(directory.size)} sessions, the limit is ${String(maxSessions)}`,
    );
  const count = directory.countOf(principal.id);
  if (count < maxSessionsPerPrincipal) return undefined;
  const limit = String(maxSessionsPerPrincipal);
  return later("ERR_GGROK_LIMIT_REACHED", `this token has ${String(count)} sessions, the limit is ${limit}`);
}

/** Why a connector is refused. */
export function connectorRefusal(
  hello: Hello,
  identity: ConnectorIdentity,
  { connectors, isDraining, isOverloaded }: RefusalDeps,
): HandshakeRefusal | undefined {
  if (isOverloaded()) return later("ERR_GGROK_RELAY_OVERLOADED");
  if (isDraining()) return later("ERR_GGROK_RELAY_DRAINING");
  if (hello.role !== "connector")
    return never("ERR_GGROK_VERSION_UNSUPPORTED", `this path takes connectors, not the role "${hello.role}"`);
  const { maxSessions, maxSessionsPerPrincipal } = RELAY_LIMITS;
  const count = connectors.countOf(identity.rights.id);
  if (connectors.size < maxSessions && count < maxSessionsPerPrincipal) return undefined;
  const found = `${String(connectors.size)} connectors, ${String(count)} of this token`;
  const limits = `the limits are ${String(maxSessions)} and ${String(maxSessionsPerPrincipal)}`;
  return later("ERR_GGROK_RELAY_OVERLOADED", `${found}; ${limits}`);
}

function later(code: ErrorCode, message: string = ERRORS[code].message): HandshakeRefusal {
  return { code, message, retry: "after" };
}

function never(code: ErrorCode, message: string): HandshakeRefusal {
  return { code, message, retry: "never" };
}
