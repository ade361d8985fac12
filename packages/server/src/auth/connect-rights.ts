import { type Authenticator, type Credentials, fieldsNamed } from "./authenticator.ts";
import type { Principal } from "./principal.ts";

/** What somebody may reach who wants to connect to TCP tunnels. Asked again for every connection: tokens are revoked. */
export interface ConnectRights {
  /** Whose tunnels count it, for limits and logs. */
  readonly id: string;
  readonly principal: Principal | undefined;
  /** A token of the relay was shown, or none is needed. */
  readonly isKnown: boolean;
  /** Whether the private tunnel of these names may be reached; public ones may by all. */
  mayConnect(names: readonly string[]): boolean;
}

/** The rights, or why the credentials are no good; no credentials are good enough for public tunnels. */
export type ConnectOutcome =
  | { readonly rights: ConnectRights; readonly refused?: undefined }
  | { readonly refused: string; readonly rights?: undefined };

const BEARER = /^bearer +([\u0021-\u007e]+) *$/iu;
const BASIC = /^basic +([A-Za-z0-9+/]+=*) *$/iu;

/**
 * Reads `Proxy-Authorization` of a CONNECT: `Bearer TOKEN`, or `Basic` with the token as password. That one field decides
 * alone; an `Authorization` beside it says nothing.
 */
export function rightsOfConnect(authenticator: Authenticator, credentials: Credentials): ConnectOutcome {
  const fields = fieldsNamed(credentials.rawHeaders, "proxy-authorization");
  if (fields.length === 0 || authenticator.isOwnMachine(credentials))
    return rightsWithoutToken(authenticator, credentials);
  const token = fields.length === 1 ? tokenOf(fields[0] ?? "") : undefined;
  if (token === undefined)
    return { refused: "the token must come in exactly one field, Bearer or as Basic's password" };
  return rightsOfToken(authenticator, token);
}

/** Reads `Authorization: Bearer TOKEN` of a connector's upgrade. */
export function rightsOfUpgrade(authenticator: Authenticator, credentials: Credentials): ConnectOutcome {
  const fields = fieldsNamed(credentials.rawHeaders, "authorization");
  if (fields.length === 0 || authenticator.isOwnMachine(credentials))
    return rightsWithoutToken(authenticator, credentials);
  const token = fields.length === 1 ? BEARER.exec(fields[0] ?? "")?.[1] : undefined;
  if (token === undefined) return { refused: "the token must come in exactly one field: Authorization: Bearer TOKEN" };
  return rightsOfToken(authenticator, token);
}

function tokenOf(field: string): string | undefined {
  const bearer = BEARER.exec(field)?.[1];
  if (bearer !== undefined) return bearer;
  const basic = BASIC.exec(field)?.[1];
  if (basic === undefined) return undefined;
  const pair = Buffer.from(basic, "base64").toString("latin1");
  const colon = pair.indexOf(":");
  return colon < 0 ? undefined : pair.slice(colon + 1);
}

function rightsOfToken(authenticator: Authenticator, token: string): ConnectOutcome {
  const principal = authenticator.authenticate(token);
  if (principal === undefined) return { refused: "this relay does not know the token" };
  return {
    rights: {
      id: principal.id,
      principal,
      isKnown: true,
      mayConnect: (names) => names.some((name) => principal.may("connect", name)),
    },
  };
}

/** Where no token exists, this machine's own programs have all rights, whatever they send from habit. */
function rightsWithoutToken(authenticator: Authenticator, credentials: Credentials): ConnectOutcome {
  const isLocal = authenticator.isOwnMachine(credentials);
  return { rights: { id: "anonymous", principal: undefined, isKnown: isLocal, mayConnect: () => isLocal } };
}
