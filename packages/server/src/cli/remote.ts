import { z } from "zod";
import {
  type ReservationView,
  reservationView,
  type SessionView,
  type StatusView,
  sessionView,
  statusView,
  type TokenView,
  type TunnelView,
  tokenView,
  tunnelView,
} from "../admin/views.ts";
import { isLoopback } from "../config/values.ts";
import type { Secret } from "../observability/secret.ts";
import { type MadeToken, type NewReservation, type NewToken, type Operator, OperatorError } from "./operator.ts";

const ANSWER_TIMEOUT_MS = 10_000;
const problemSchema = z.looseObject({ message: z.string() });
const readySchema = z.looseObject({ status: z.string() });
const madeSchema = z.object({ ...tokenView.shape, secret: z.string(), invite: z.string() });

/**
 * Reads where a relay is: `host` and `host:port` mean https.
 *
 * @throws OperatorError when the admin token would cross the network in the clear
 */
export function parseRelayOrigin(text: string, isInsecure: boolean): string {
  const url = URL.parse(/^https?:\/\//iu.test(text) ? text : `https://${text}`);
  if (url === null || url.pathname !== "/" || url.search !== "" || url.hash !== "" || url.username !== "")
    throw new OperatorError(`"${text}" is not a relay: write https://HOST`, 2);
  const host = url.hostname.replace(/^\[|\]$/gu, "");
  const isLocal = host === "localhost" || host.endsWith(".localhost") || isLoopback(host);
  if (url.protocol === "http:" && !isLocal && !isInsecure)
    throw new OperatorError(`${url.origin} would send the admin token in the clear: use https, or --insecure`, 2);
  return url.origin;
}

/** Works on a running relay through its admin API. */
export class RemoteOperator implements Operator {
  readonly #origin: string;
  readonly #token: Secret | undefined;

  constructor(origin: string, token: Secret | undefined) {
    this.#origin = origin;
    this.#token = token;
  }

  createToken(wish: NewToken): Promise<MadeToken> {
    return this.#ask("POST", "tokens", madeSchema, wish);
  }

  async listTokens(): Promise<readonly TokenView[]> {
    return (await this.#ask("GET", "tokens", z.object({ tokens: z.array(tokenView) }))).tokens;
  }

  revokeToken(nameOrId: string): Promise<TokenView> {
    return this.#ask("DELETE", `tokens/${encodeURIComponent(nameOrId)}`, tokenView);
  }

  async listReservations(): Promise<readonly ReservationView[]> {
    const answer = z.object({ reservations: z.array(reservationView) });
    return (await this.#ask("GET", "reservations", answer)).reservations;
  }

  reserve(wish: NewReservation): Promise<ReservationView> {
    return this.#ask("POST", "reservations", reservationView, wish);
  }

  async release(name: string): Promise<void> {
    await this.#ask("DELETE", `reservations/${encodeURIComponent(name)}`, z.unknown());
  }

  status(): Promise<StatusView> {
    return this.#ask("GET", "status", statusView);
  }

  async sessions(): Promise<readonly SessionView[]> {
    return (await this.#ask("GET", "sessions", z.object({ sessions: z.array(sessionView) }))).sessions;
  }

  async tunnels(): Promise<readonly TunnelView[]> {
    return (await this.#ask("GET", "tunnels", z.object({ tunnels: z.array(tunnelView) }))).tunnels;
  }

  /** What the relay says of itself to anybody. */
  async readiness(): Promise<string> {
    const response = await this.#fetch("GET", "/ready");
    const parsed = readySchema.safeParse(await readJson(response));
    if (!parsed.success) throw new OperatorError(`${this.#origin} answers, but it is no ggrok relay`);
    return parsed.data.status;
  }

  close(): void {}

  async #ask<T>(method: string, path: string, schema: z.ZodType<T>, body?: unknown): Promise<T> {
    if (this.#token === undefined)
      throw new OperatorError("the admin API needs a token: --admin-token or GGROK_ADMIN_TOKEN", 3);
    const response = await this.#fetch(method, `/api/v1/${path}`, body);
    const value = response.status === 204 ? null : await readJson(response);
    if (!response.ok) {
      const problem = problemSchema.safeParse(value);
      const why = problem.success ? problem.data.message : `it answered ${String(response.status)}`;
      throw new OperatorError(response.status === 404 && path.split("/").length === 1 ? apiIsOff(why) : why);
    }
    const parsed = schema.safeParse(value);
    if (!parsed.success) throw new OperatorError("the relay's answer is not understood; is it another version?");
    return parsed.data;
  }

  async #fetch(method: string, path: string, body?: unknown): Promise<Response> {
    try {
      return await fetch(`${this.#origin}/$$ggrok${path}`, {
        method,
        redirect: "error",
        signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
        headers: {
          ...(this.#token !== undefined && { authorization: `Bearer ${this.#token.reveal()}` }),
          ...(body !== undefined && { "content-type": "application/json" }),
        },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      });
    } catch (error) {
      const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
      throw new OperatorError(
        `${this.#origin} cannot be reached: ${cause instanceof Error ? cause.message : String(cause)}`,
      );
    }
  }
}

function apiIsOff(why: string): string {
  return `${why} The admin API is off unless the relay has an admin token.`;
}

async function readJson(response: Response): Promise<unknown> {
  try {
    return await response.json();
  } catch {
    return undefined;
  }
}
