import type { ErrorCode, HeaderList } from "@ggrok/protocol";
import { RELAY_LIMITS } from "../limits.ts";
import { AddressBuckets } from "./address-buckets.ts";
import { Login } from "./login.ts";
import type { VisitorRules } from "./rules.ts";

/** What the gate looks at. */
export interface Visitor {
  readonly method: string;
  /** The public target, before a prefix is taken off. */
  readonly target: string;
  readonly host: string;
  readonly fields: HeaderList;
  /** The address behind trusted front ends. */
  readonly client: string;
}

/** The gate's word: come in, with the Authorization field or without it, or an answer that says why not. */
export type Admission =
  | { readonly refused?: undefined; readonly hidesAuthorization: boolean }
  | {
      readonly refused: ErrorCode;
      /** Seconds after which trying again makes sense. */
      readonly retryAfterS?: number;
      /** Value of `WWW-Authenticate`. */
      readonly challenge?: string;
    };

const COME_IN: Admission = { hidesAuthorization: false };
const COME_IN_BARE: Admission = { hidesAuthorization: true };

/** Stands before one endpoint. What it remembers of addresses and log-ins outlives reconnects of the agent with equal rules. */
export class VisitorGate {
  readonly #rules: VisitorRules;
  readonly #login: Login | undefined;
  readonly #rate: AddressBuckets | undefined;

  constructor(rules: VisitorRules) {
    this.#rules = rules;
    const { credentials, rate } = rules;
    this.#login = credentials === undefined ? undefined : new Login(credentials);
    this.#rate = rate === undefined ? undefined : new AddressBuckets(rate, RELAY_LIMITS.visitorAddresses);
  }

  get key(): string {
    return this.#rules.key;
  }

  /**
   * Decides about one exchange. It may be asked again for the same one, which is then not counted again.
   *
   * @param isNew whether the exchange is asked about for the first time
   */
  admit(visitor: Visitor, isNew: boolean, nowMs: number): Admission {
    const { client } = visitor;
    if (!this.#rules.allows(client)) return { refused: "ERR_GGROK_VISITOR_FORBIDDEN" };
    const waitMs = isNew ? this.#rate?.take(client, nowMs) : undefined;
    if (waitMs !== undefined) return tooFast(waitMs);
    return this.#login === undefined ? COME_IN : this.#checkLogin(this.#login, visitor, nowMs);
  }

  #checkLogin(login: Login, visitor: Visitor, nowMs: number): Admission {
    const values = authorizationsOf(visitor.fields);
    const [value] = values;
    const isExempt = isPreflight(visitor) || this.#rules.isOpen(visitor.target);
    // On an open path the field is the app's own, unless it is the one that opens this gate.
    if (isExempt && value === undefined) return COME_IN;
    // Two answers to "who is it" are none.
    const result = value === undefined || values.length > 1 ? "bad" : login.check(value, visitor.client, nowMs);
    if (result === "good") return this.#rules.passesAuthorization ? COME_IN : COME_IN_BARE;
    if (isExempt) return result === "bad" ? COME_IN : COME_IN_BARE;
    if (result !== "bad") return tooFast(result.waitMs);
    return { refused: "ERR_GGROK_VISITOR_UNAUTHORIZED", challenge: `Basic realm="${visitor.host}", charset="UTF-8"` };
  }
}

/** A list of fields without any Authorization. */
export function withoutAuthorization(fields: HeaderList): HeaderList {
  const kept: string[] = [];
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i] ?? "";
    if (!isAuthorization(name)) kept.push(name, fields[i + 1] ?? "");
  }
  return kept;
}

function tooFast(waitMs: number): Admission {
  return { refused: "ERR_GGROK_VISITOR_RATE_LIMITED", retryAfterS: Math.max(1, Math.ceil(waitMs / 1_000)) };
}

/** A browser's question before a request from another site; it never carries credentials (Fetch 4.8). */
function isPreflight({ method, fields }: Visitor): boolean {
  if (method !== "OPTIONS") return false;
  let hasOrigin = false;
  let hasMethod = false;
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i]?.toLowerCase();
    hasOrigin ||= name === "origin";
    hasMethod ||= name === "access-control-request-method";
  }
  return hasOrigin && hasMethod;
}

function authorizationsOf(fields: HeaderList): string[] {
  const values: string[] = [];
  for (let i = 0; i + 1 < fields.length; i += 2) if (isAuthorization(fields[i] ?? "")) values.push(fields[i + 1] ?? "");
  return values;
}

function isAuthorization(name: string): boolean {
  return name.length === 13 && name.toLowerCase() === "authorization";
}
