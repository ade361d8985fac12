import { z } from "zod";
import { grantSchema } from "../store/grant.ts";
import type { Reservation, TokenRecord } from "../store/store.ts";

const time = z.iso.datetime().describe("ISO 8601, UTC");
const maybeTime = time.nullable();

/** A token as operators see it: everything but itself. */
export const tokenView = z.object({
  id: z.string(),
  name: z.string(),
  ...grantSchema.shape,
  createdAt: time,
  expiresAt: maybeTime,
  lastUsedAt: maybeTime,
});
export type TokenView = z.output<typeof tokenView>;

/** A reservation as operators see it. */
export const reservationView = z.object({
  name: z.string().describe("a name, a host, or a path prefix of the relay's one host as */PREFIX"),
  owner: z.string().describe("token:ID"),
  token: z.string().nullable().describe("name of the owner's token; null when it is not a token of the store"),
  source: z.enum(["operator", "claimed", "generated"]),
  createdAt: time,
  lastUsedAt: time,
  expiresAt: maybeTime,
});
export type ReservationView = z.output<typeof reservationView>;

/** A session as operators see it. */
export const sessionView = z.object({
  id: z.string(),
  agent: z.string().describe("what the agent calls itself"),
  token: z.string().describe("name of its token"),
  owner: z.string(),
  state: z.enum(["open", "suspect", "lost", "draining", "closed"]),
  startedAt: time,
  streams: z.int(),
  tunnels: z.array(z.string()).describe("public URLs"),
});
export type SessionView = z.output<typeof sessionView>;

/** A tunnel as operators see it. */
export const tunnelView = z.object({
  id: z.string(),
  url: z.string(),
  kind: z.enum(["http", "tcp"]),
  isOnline: z.boolean(),
  owner: z.string(),
  token: z.string(),
  sessions: z.array(z.object({ id: z.string(), agent: z.string(), isAway: z.boolean() })),
});
export type TunnelView = z.output<typeof tunnelView>;

/** The relay at a glance. */
export const statusView = z.object({
  state: z.enum(["starting", "ready", "draining"]),
  isOverloaded: z.boolean(),
  version: z.string(),
  startedAt: time,
  domain: z.string().nullable(),
  publicUrl: z.string().nullable(),
  store: z.enum(["memory", "sqlite"]),
  sessions: z.int(),
  lostSessions: z.int(),
  tunnels: z.int(),
  tokens: z.int(),
  reservations: z.int(),
  openExchanges: z.int(),
  parkedExchanges: z.int(),
  eventLoopLagMs: z.number(),
  memoryBytes: z.int(),
});
export type StatusView = z.output<typeof statusView>;

/** What operators may say about a token. */
export const tokenWishSchema = z.strictObject({
  name: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/u, {
      error: "must be up to 64 letters, digits and . _ @ -, beginning with a letter or digit",
    })
    .describe("unique; shown in logs and lists"),
  ...grantSchema.shape,
  expiresInS: z.int().min(1).max(3_153_600_000).optional().describe("seconds from now; left out: it does not expire"),
});

/** What operators may say about a reservation. */
export const reservationWishSchema = z.strictObject({
  name: z.string().describe("a name, a host, a URL, or a path prefix"),
  token: z.string().describe("name or id of the token that shall own it, or an owner as lists show it"),
  expiresInS: z.int().min(1).max(3_153_600_000).optional().describe("seconds from now; left out: until it is released"),
  force: z.boolean().default(false).describe("take it from another owner"),
});

export function viewToken(record: TokenRecord): TokenView {
  return {
    id: record.id,
    name: record.name,
    ...record.grant,
    createdAt: iso(record.createdAt),
    expiresAt: maybeIso(record.expiresAt),
    lastUsedAt: maybeIso(record.lastUsedAt),
  };
}

/** @param tokens all tokens, for the owner's name */
export function viewReservation(reservation: Reservation, tokens: readonly TokenRecord[]): ReservationView {
  return {
    name: reservation.place,
    owner: reservation.owner,
    token: tokens.find(({ id }) => `token:${id}` === reservation.owner)?.name ?? null,
    source: reservation.source,
    createdAt: iso(reservation.createdAt),
    lastUsedAt: iso(reservation.lastUsedAt),
    expiresAt: maybeIso(reservation.expiresAt),
  };
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}

function maybeIso(ms: number | undefined): string | null {
  return ms === undefined ? null : iso(ms);
}
