import { RELAY_LIMITS } from "../limits.ts";

/** Who asks for an endpoint, or holds it. */
export interface Claimant {
  /** The token, or the agent id of an agent without one. */
  readonly principal: string;
  /** One machine and folder. */
  readonly agentId: string;
  /** One process of it. */
  readonly instance: string;
  /** When its user asked for the endpoint first, in relay time. */
  readonly claim: number;
  readonly pooling: boolean;
}

/** A claimant and how it asks. */
export interface BindRequest extends Claimant {
  /** It was bound before and sends its claim back. */
  readonly returning: boolean;
  /** The user said `--takeover`. */
  readonly takeover: boolean;
}

/** A claimant that has the endpoint. */
export interface Holder extends Claimant {
  /** Its session is lost. */
  readonly isAway: boolean;
  /** Whether it answered the PING of `probe`; undefined before one was sent. */
  readonly answers: boolean | undefined;
}

/** Everyone who holds one endpoint: connections of one instance, or a pool. Never empty. */
export interface OwnershipRecord {
  readonly holders: readonly Holder[];
  /** When the endpoint changed hands between living agents, oldest first. */
  readonly changes: readonly number[];
}

/** Rows of the table that end in a refusal. */
export type Refusal = "other-token" | "pooling-differs" | "older-claim" | "held" | "frozen";

/** What to do with a bind: the first row of the table that fits. `probe` asks for a PING of the holders and a second look. */
export type BindDecision =
  | { readonly action: "create" | "rebind" | "join" | "probe" }
  | { readonly action: "take-over"; readonly fromLiving: boolean }
  | { readonly action: "refuse"; readonly why: Refusal };

const PROBE: BindDecision = { action: "probe" };

/**
 * Who owns a name (docs/protocol.md, "Endpoints"). Pure: time and the answers to PINGs are arguments.
 * A holder that is away still owns the name; whoever removes it after the hold makes the record vanish.
 */
export function decideBind(record: OwnershipRecord | undefined, request: BindRequest, now: number): BindDecision {
  if (record === undefined) return { action: "create" };
  const { holders } = record;
  if (holders.some((holder) => holder.principal !== request.principal)) return refuse("other-token");
  if (holders.some((holder) => holder.instance === request.instance)) return { action: "rebind" };
  const isSameAgent = holders.every((holder) => holder.agentId === request.agentId);
  const isPool = holders.every((holder) => holder.pooling);
  if (isPool && request.pooling) return { action: "join" };
  // An agent may change its own mind about pooling; between agents it would end in a pool of one that nobody asked for.
  if (isPool !== request.pooling && !isSameAgent) return refuse("pooling-differs");
  if (holders.some((holder) => request.claim < holder.claim)) return refuse("older-claim");
  const living = holders.filter((holder) => !holder.isAway);
  if (living.length === 0) return { action: "take-over", fromLiving: false };
  if (!isSameAgent) {
    if (living.some((holder) => holder.answers === undefined)) return PROBE;
    if (living.every((holder) => holder.answers === false)) return { action: "take-over", fromLiving: false };
    if (!request.returning && !request.takeover) return refuse("held");
  }
  return isFrozen(record.changes, now) ? refuse("frozen") : { action: "take-over", fromLiving: true };
}

function refuse(why: Refusal): BindDecision {
  return { action: "refuse", why };
}

/** True for a minute after too many changes: two supervisors that restart each other's victims must not go on for ever. */
export function isFrozen(changes: readonly number[], now: number): boolean {
  const { maxTakeovers, takeoverPeriodMs } = RELAY_LIMITS;
  const last = changes.at(-1);
  const first = changes.at(-maxTakeovers);
  if (last === undefined || first === undefined) return false;
  return last - first < takeoverPeriodMs && now - last < takeoverPeriodMs;
}

/** The changes worth remembering after one more. */
export function recordChange(changes: readonly number[], now: number): number[] {
  return [...changes, now].slice(-RELAY_LIMITS.maxTakeovers);
}

/** Claim of a bind: as it was given back, or counted from the age the agent states. */
export function claimOf(bind: { claim?: number; ageMs: number }, now: number): number {
  return Math.min(bind.claim ?? now - bind.ageMs, now + RELAY_LIMITS.claimAheadMs);
}
