import type { IncomingMessage } from "node:http";
import { type ErrorCode, type HeaderList, isTarget, type OpenMeta } from "@ggrok/protocol";
import { RELAY_LIMITS } from "../limits.ts";
import { parseHost } from "../listener/host.ts";
import { connectionOptions, FieldKind, fieldKind, isPlainConnection } from "./field-kind.ts";
import type { ForwardedClaims, TrustedPeers } from "./forwarded.ts";
import { isLoop } from "./loop.ts";
import { type PeerSocket, peerOf } from "./peer.ts";
import { isRequestId } from "./request-id.ts";

/** A visitor's request as it goes to the agent, built once from the raw fields. */
export interface RequestHead {
  readonly kind: "http" | "upgrade";
  readonly requestId: string;
  readonly method: string;
  /** Origin-form, or `*`. */
  readonly target: string;
  readonly version: "1.0" | "1.1";
  readonly fields: HeaderList;
  /** The host to route by: lower case, without port. */
  readonly host: string;
  /** The visitor's address behind trusted front ends, also for the agent. */
  readonly client: string;
  readonly meta: OpenMeta;
  /** Whether the head announces a body. */
  readonly hasBody: boolean;
}

/** What reading a head needs to know of the relay. */
export interface HeadContext {
  readonly trusted: TrustedPeers;
  readonly relayId: string;
  /** This relay's entry in Via, by the version of the request. */
  readonly via: Readonly<Record<"1.0" | "1.1", string>>;
  newRequestId(): string;
}

/** The parts of a request that {@link readRequestHead} looks at. */
export type RawRequest = Pick<IncomingMessage, "method" | "url" | "httpVersion" | "rawHeaders"> & {
  readonly socket: PeerSocket;
};

/** What the fields said, before anything is decided. */
interface Scan {
  host: string | undefined;
  hosts: number;
  contentLength: string | undefined;
  contentLengths: number;
  transferEncoding: string | undefined;
  via: string[];
  requestId: string | undefined;
  for: string | undefined;
  proto: string | undefined;
  forwardedHost: string | undefined;
  port: string | undefined;
  forwarded: string | undefined;
  /** Names that a Connection field lists besides the usual ones. */
  listed: string[] | undefined;
}

const DIGITS = /^[0-9]{1,15}$/u;
const ABSOLUTE = /^https?:\/\/([^/?#]*)(.*)$/iu;

/**
 * Checks a request and builds its head: hop-by-hop fields removed, order, case, duplicates and bytes kept, the relay's
 * own fields behind them. Fields that only a front end may set pass from a trusted one and are replaced otherwise.
 *
 * @returns the head, or the code of the answer that refuses it
 */
export function readRequestHead(
  req: RawRequest,
  kind: "http" | "upgrade",
  context: HeadContext,
): RequestHead | ErrorCode {
  const version = req.httpVersion;
  if (version !== "1.1" && version !== "1.0") return "ERR_GGROK_REQUEST_MALFORMED";
  if (req.rawHeaders.length > 2 * RELAY_LIMITS.requestFields) return "ERR_GGROK_REQUEST_HEADERS_TOO_LARGE";
  const url = req.url ?? "";
  if (url.length > RELAY_LIMITS.targetBytes) return "ERR_GGROK_REQUEST_URI_TOO_LONG";

  const peer = peerOf(req.socket, context.trusted);
  const fields: string[] = [];
  const scan = scanFields(req.rawHeaders, kind, peer.isTrusted, fields);

  const host = scan.hosts === 1 ? parseHost(scan.host) : undefined;
  if (host === undefined || scan.host === undefined) return "ERR_GGROK_REQUEST_MALFORMED";
  const target = originForm(url, scan.host, req.method ?? "");
  if (target === undefined || !isTarget(target)) return "ERR_GGROK_REQUEST_MALFORMED";
  const hasBody = bodyAnnounced(scan, version);
  if (hasBody === undefined) return "ERR_GGROK_REQUEST_MALFORMED";
  if (scan.via.length > 0 && isLoop(scan.via, context.relayId, RELAY_LIMITS)) return "ERR_GGROK_LOOP_DETECTED";

  if (scan.listed !== undefined) removeListed(fields, scan.listed);
  const requestId = scan.requestId ?? context.newRequestId();
  const vouched = peer.vouch(scan.host, peer.isTrusted ? claimsOf(scan) : undefined);
  fields.push("X-Forwarded-For", vouched.for, "X-Forwarded-Proto", vouched.proto, "X-Forwarded-Host", vouched.host);
  fields.push("X-Forwarded-Port", vouched.port, "Forwarded", vouched.forwarded);
  fields.push("Via", context.via[version], "x-request-id", requestId);
  const { client } = vouched;
  return {
    kind,
    requestId,
    method: req.method ?? "",
    target,
    version,
    fields,
    host,
    client,
    meta: { client },
    hasBody,
  };
}

/** What a front end said about the visitor; undefined when it said nothing. */
function claimsOf(scan: Scan): ForwardedClaims | undefined {
  const { for: chain, proto, forwardedHost: host, port, forwarded } = scan;
  const hasSaid = chain ?? proto ?? host ?? port ?? forwarded;
  return hasSaid === undefined ? undefined : { for: chain, proto, host, port, forwarded };
}

/** Copies the fields that pass and takes down the others. One pass, since this runs for every request. */
function scanFields(raw: readonly string[], kind: "http" | "upgrade", isTrusted: boolean, out: string[]): Scan {
  const scan: Scan = {
    host: undefined,
    hosts: 0,
    contentLength: undefined,
    contentLengths: 0,
    transferEncoding: undefined,
    via: [],
    requestId: undefined,
    for: undefined,
    proto: undefined,
    forwardedHost: undefined,
    port: undefined,
    forwarded: undefined,
    listed: undefined,
  };
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] ?? "";
    const value = raw[i + 1] ?? "";
    switch (fieldKind(name)) {
      case FieldKind.HopByHop:
      case FieldKind.LookAlike:
        continue;
      case FieldKind.Connection:
        if (!isPlainConnection(value)) scan.listed = [...(scan.listed ?? []), ...connectionOptions(value)];
        if (kind === "upgrade" && /\bupgrade\b/iu.test(value)) out.push(name, "Upgrade");
        continue;
      case FieldKind.Upgrade:
        if (kind === "upgrade") out.push(name, value);
        continue;
      case FieldKind.TransferEncoding:
        scan.transferEncoding = scan.transferEncoding === undefined ? value : `${scan.transferEncoding},${value}`;
        continue;
      case FieldKind.ContentLength:
        scan.contentLength = value;
        scan.contentLengths += 1;
        break;
      case FieldKind.Host:
        scan.host = value;
        scan.hosts += 1;
        break;
      case FieldKind.Te:
        // The relay passes trailers on, so it may say so; codings of a single hop it does not speak.
        if (/\btrailers\b/iu.test(value)) out.push(name, "trailers");
        continue;
      case FieldKind.Via:
        scan.via.push(value);
        break;
      case FieldKind.RequestId:
        if (isTrusted && scan.requestId === undefined && isRequestId(value)) scan.requestId = value;
        continue;
      case FieldKind.Forwarded:
        scan.forwarded = join(scan.forwarded, value);
        continue;
      case FieldKind.ForwardedFor:
        scan.for = join(scan.for, value);
        continue;
      case FieldKind.ForwardedProto:
        scan.proto = nearest(value);
        continue;
      case FieldKind.ForwardedHost:
        scan.forwardedHost = nearest(value);
        continue;
      case FieldKind.ForwardedPort:
        scan.port = nearest(value);
        continue;
      case FieldKind.Vouched:
        if (!isTrusted) continue;
        break;
      default:
    }
    out.push(name, value);
  }
  return scan;
}

function join(before: string | undefined, value: string): string | undefined {
  if (value === "") return before;
  return before === undefined ? value : `${before}, ${value}`;
}

/** The entry of a list that the nearest front end wrote; undefined when it is empty. */
function nearest(value: string): string | undefined {
  const entry = value.slice(value.lastIndexOf(",") + 1).trim();
  return entry === "" ? undefined : entry;
}

/** Whether a body follows; undefined when the framing is not exactly one of the two plain forms (RFC 9112 6.3). */
function bodyAnnounced(scan: Scan, version: "1.0" | "1.1"): boolean | undefined {
  if (scan.transferEncoding !== undefined) {
    if (scan.contentLengths > 0 || version === "1.0") return undefined;
    return scan.transferEncoding.trim().toLowerCase() === "chunked" ? true : undefined;
  }
  if (scan.contentLengths === 0) return false;
  if (scan.contentLengths > 1 || scan.contentLength === undefined || !DIGITS.test(scan.contentLength)) return undefined;
  return Number(scan.contentLength) > 0;
}

/** The target in origin-form. An absolute one must name the same host as the Host field: two answers to "where to" are none. */
function originForm(url: string, host: string, method: string): string | undefined {
  if (url.startsWith("/")) return url;
  if (url === "*") return method === "OPTIONS" ? url : undefined;
  const match = ABSOLUTE.exec(url);
  if (match === null || match[1]?.toLowerCase() !== host.toLowerCase()) return undefined;
  const rest = match[2] ?? "";
  return rest.startsWith("/") ? rest : `/${rest}`;
}

const KEPT_DESPITE_CONNECTION: ReadonlySet<FieldKind> = new Set<FieldKind>([
  FieldKind.Host,
  FieldKind.ContentLength,
  FieldKind.Connection,
  FieldKind.Upgrade,
  FieldKind.Te,
]);

/** Takes out, in place, the fields a Connection field names. */
function removeListed(fields: string[], listed: readonly string[]): void {
  const names = new Set(listed);
  let end = 0;
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i] ?? "";
    const value = fields[i + 1] ?? "";
    if (names.has(name.toLowerCase()) && !KEPT_DESPITE_CONNECTION.has(fieldKind(name))) continue;
    fields[end] = name;
    fields[end + 1] = value;
    end += 2;
  }
  fields.length = end;
}
