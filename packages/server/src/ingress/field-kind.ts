/** What a field name means to the relay. Everything without a meaning of its own is `Plain` and passes. */
export const FieldKind = {
  Plain: 0,
  /** Belongs to one hop (RFC 9110 7.6.1) and carries nothing the relay needs. */
  HopByHop: 1,
  Connection: 2,
  Upgrade: 3,
  TransferEncoding: 4,
  ContentLength: 5,
  Host: 6,
  Te: 7,
  Via: 8,
  RequestId: 9,
  Forwarded: 10,
  ForwardedFor: 11,
  ForwardedProto: 12,
  ForwardedHost: 13,
  ForwardedPort: 14,
  /** Further fields that only a trusted front end may set. */
  Vouched: 15,
  /** A spelling that some app servers take for a field the relay vouches for: `X_Forwarded_For`, `X.Real.IP`. */
  LookAlike: 16,
  Trailer: 17,
} as const;
export type FieldKind = (typeof FieldKind)[keyof typeof FieldKind];

const KINDS: ReadonlyMap<string, FieldKind> = new Map<string, FieldKind>([
  ["keep-alive", FieldKind.HopByHop],
  ["proxy-connection", FieldKind.HopByHop],
  ["proxy-authenticate", FieldKind.HopByHop],
  ["proxy-authorization", FieldKind.HopByHop],
  ["http2-settings", FieldKind.HopByHop],
  ["connection", FieldKind.Connection],
  ["upgrade", FieldKind.Upgrade],
  ["transfer-encoding", FieldKind.TransferEncoding],
  ["content-length", FieldKind.ContentLength],
  ["host", FieldKind.Host],
  ["te", FieldKind.Te],
  ["via", FieldKind.Via],
  ["x-request-id", FieldKind.RequestId],
  ["forwarded", FieldKind.Forwarded],
  ["x-forwarded-for", FieldKind.ForwardedFor],
  ["x-forwarded-proto", FieldKind.ForwardedProto],
  ["x-forwarded-host", FieldKind.ForwardedHost],
  ["x-forwarded-port", FieldKind.ForwardedPort],
  ["x-real-ip", FieldKind.Vouched],
  ["trailer", FieldKind.Trailer],
]);

const SEPARATORS = /[_.]/gu;
const MAX_CACHED = 1_024;
const MAX_CACHED_LENGTH = 32;

// Names repeat from request to request, so one look-up replaces lower-casing and comparing. Bounded: strangers choose them.
const cache = new Map<string, FieldKind>();

/** The meaning of a field name in any case. */
export function fieldKind(name: string): FieldKind {
  const known = cache.get(name);
  if (known !== undefined) return known;
  const kind = classify(name.toLowerCase());
  if (cache.size < MAX_CACHED && name.length <= MAX_CACHED_LENGTH) cache.set(name, kind);
  return kind;
}

function classify(name: string): FieldKind {
  const kind = KINDS.get(name);
  if (kind !== undefined) return kind;
  if (name.startsWith("x-forwarded-")) return FieldKind.Vouched;
  const normal = name.replace(SEPARATORS, "-");
  if (normal === name) return FieldKind.Plain;
  return isVouchedFor(normal) ? FieldKind.LookAlike : FieldKind.Plain;
}

function isVouchedFor(name: string): boolean {
  return name.startsWith("x-forwarded-") || VOUCHED_FOR.has(name);
}

/** The framing is among them: in the variables of CGI and WSGI `Content_Length` stands where `Content-Length` does. */
const VOUCHED_FOR: ReadonlySet<string> = new Set(["x-real-ip", "x-request-id", "content-length", "transfer-encoding"]);

/** Names in the values of a Connection field, lower case. */
export function connectionOptions(value: string): string[] {
  return value
    .toLowerCase()
    .split(",")
    .map((option) => option.trim())
    .filter((option) => option !== "");
}

/** True when a Connection value names nothing but what is removed anyway, which is nearly always. */
export function isPlainConnection(value: string): boolean {
  return PLAIN_CONNECTION.test(value);
}
const PLAIN_CONNECTION = /^(?:keep-alive|close|upgrade|te)(?: *, *(?:keep-alive|close|upgrade|te))*$/iu;
