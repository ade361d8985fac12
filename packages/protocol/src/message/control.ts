import { z } from "zod";
import { GgrokError } from "../errors.ts";
import { LIMITS } from "../limits.ts";

const text = z.string().max(256);
const secret = z.string().min(16).max(128);
const count = z.int().min(0);
const retry = z.enum(["never", "after"]);

const hello = z.object({
  type: z.literal("hello"),
  role: z.enum(["agent", "connector", "relay"]),
  software: text,
  agentId: z.string().min(8).max(128),
  instance: z.string().min(8).max(64),
  attempt: z.int().min(1),
  slot: z.int().min(0).max(255),
  capabilities: z.array(text).max(64),
  window: z.int().min(1_024).max(4_194_304),
  maxStreams: z.int().min(1).max(65_536),
  label: text.optional(),
  resume: z.object({ session: text, secret, received: count }).optional(),
  previous: z
    .object({ session: text, secret, lastStream: count, undispatched: z.array(count).max(LIMITS.UNDISPATCHED_MAX) })
    .optional(),
});
const welcome = z.object({
  type: z.literal("welcome"),
  session: text,
  secret,
  relayId: text,
  version: text,
  capabilities: z.array(text).max(64),
  window: z.int().min(1_024).max(4_194_304),
  maxStreams: z.int().min(0).max(65_536),
  heartbeat: z.object({ intervalMs: z.int().min(100).max(600_000), timeoutMs: z.int().min(100).max(600_000) }),
  holdMs: count,
  resumed: z.boolean(),
  received: count,
  slots: z.int().min(1).max(256),
  domain: text.optional(),
  publicUrl: z.string().max(2_048).optional(),
});
const refused = z.object({
  type: z.literal("refused"),
  code: text,
  message: z.string().max(1_024),
  retry,
  afterMs: count.optional(),
  supported: z.array(text).max(16).optional(),
});
const bind = z.object({
  type: z.literal("bind"),
  bind: z.int().min(0).max(0xffff_ffff),
  kind: z.enum(["http", "tcp"]),
  url: z.string().max(2_048).optional(),
  ageMs: z.number().min(0),
  claim: z.number().optional(),
  pooling: z.boolean().optional(),
  takeover: z.boolean().optional(),
  stripPrefix: z.boolean().optional(),
  options: z.record(z.string(), z.unknown()).optional(),
});
const bound = z.object({
  type: z.literal("bound"),
  bind: count,
  url: z.string().max(2_048),
  claim: z.number(),
  portUrl: z.string().max(2_048).optional(),
});
const bindRefused = z.object({
  type: z.literal("bind-refused"),
  bind: count,
  code: text,
  message: z.string().max(1_024),
  holder: text.optional(),
  retry,
  afterMs: count.optional(),
});
const unbind = z.object({ type: z.literal("unbind"), bind: count });
const unbound = z.object({ type: z.literal("unbound"), bind: count, code: text, holder: text.optional() });
const drain = z.object({
  type: z.literal("drain"),
  reason: text,
  reconnect: z.enum(["now", "after", "never"]),
  afterMs: count.optional(),
  deadlineMs: count.optional(),
});

const schemas = {
  hello,
  welcome,
  refused,
  bind,
  bound,
  "bind-refused": bindRefused,
  unbind,
  unbound,
  drain,
} as const;

/** First message of the dialler: who it is, what it can do, and what it wants to go on with. */
export type Hello = Widen<z.infer<typeof hello>>;
/** The listener's answer. */
export type Welcome = Widen<z.infer<typeof welcome>>;
/** The listener will not talk to this dialler. */
export type Refused = Widen<z.infer<typeof refused>>;
/** The agent asks for an endpoint. */
export type Bind = Widen<z.infer<typeof bind>>;
/** The endpoint is the agent's. */
export type Bound = Widen<z.infer<typeof bound>>;
/** The endpoint cannot be had. */
export type BindRefused = Widen<z.infer<typeof bindRefused>>;
/** The agent gives an endpoint up. */
export type Unbind = z.infer<typeof unbind>;
/** The relay has taken an endpoint away. */
export type Unbound = Widen<z.infer<typeof unbound>>;
/** The sender wants this session to end soon. */
export type Drain = Widen<z.infer<typeof drain>>;
/** Any CONTROL message of this version. */
export type ControlMessage = Hello | Welcome | Refused | Bind | Bound | BindRefused | Unbind | Unbound | Drain;

/** zod infers `key?: T | undefined`; with exactOptionalPropertyTypes an absent key is what is meant. */
type Widen<T> = { [K in keyof T]: undefined extends T[K] ? Exclude<T[K], undefined> : T[K] } extends infer R
  ? { [K in keyof R]: R[K] }
  : never;

/**
 * Validates a CONTROL message. Unknown keys are dropped, so that one minor version apart can talk.
 *
 * @returns undefined for an unknown type
 * @throws GgrokError ERR_GGROK_PROTOCOL_VIOLATION
 */
export function parseControl(value: unknown): ControlMessage | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw violation("it is not an object");
  const type = "type" in value ? value.type : undefined;
  if (typeof type !== "string") throw violation("it has no type");
  if (!Object.hasOwn(schemas, type)) return undefined;
  const parsed = schemas[type as keyof typeof schemas].safeParse(value);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw violation(`${type}: ${issue?.path.join(".") ?? ""} ${issue?.message ?? ""}`);
  }
  return parsed.data as ControlMessage;
}

function violation(why: string): GgrokError {
  return new GgrokError("ERR_GGROK_PROTOCOL_VIOLATION", { message: `CONTROL message: ${why}`.slice(0, 300) });
}
