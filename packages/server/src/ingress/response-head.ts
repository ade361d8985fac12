import type { HeaderList, ResponseHead } from "@ggrok/protocol";
import { connectionOptions, FieldKind, fieldKind, isPlainConnection } from "./field-kind.ts";

/** What the request and the visitor's connection mean for the framing of an answer. */
export interface AnswerContext {
  readonly method: string;
  readonly version: "1.0" | "1.1";
}

/** A final head as it goes to the visitor. */
export interface PreparedHead {
  readonly status: number;
  readonly reason: string;
  readonly fields: HeaderList;
  /** Whether body bytes follow the head on the visitor's connection. */
  readonly hasBody: boolean;
  /** Exactly this many body bytes must come; undefined when the head does not say. */
  readonly contentLength: number | undefined;
}

const DIGITS = /^[0-9]{1,15}$/u;

/**
 * Takes the fields of the agent's hop out of a final head and reads its framing.
 *
 * @returns undefined when the framing is ambiguous: such an answer would let one app write into the next answer on a
 * connection that a front end shares between visitors
 */
export function prepareHead(head: ResponseHead, context: AnswerContext): PreparedHead | undefined {
  const { status, fields } = head;
  if (status < 200 || status > 999) return undefined;
  const hasBody = context.method !== "HEAD" && status !== 204 && status !== 304;
  let length: string | undefined;
  let mustCopy = false;
  let hasTrailerField = false;
  for (let i = 0; i + 1 < fields.length; i += 2) {
    switch (fieldKind(fields[i] ?? "")) {
      case FieldKind.ContentLength: {
        const value = fields[i + 1] ?? "";
        if (!DIGITS.test(value) || (length !== undefined && length !== value)) return undefined;
        if (length !== undefined) mustCopy = true;
        length = value;
        break;
      }
      case FieldKind.HopByHop:
      case FieldKind.Connection:
      case FieldKind.Upgrade:
      case FieldKind.TransferEncoding:
      case FieldKind.Te:
        mustCopy = true;
        break;
      case FieldKind.Trailer:
        hasTrailerField = true;
        break;
      default:
    }
  }
  const contentLength = length === undefined ? undefined : Number(length);
  // Trailers need the chunked coding; announcing them without it is an error to Node, and useless.
  const dropTrailerField = hasTrailerField && (!hasBody || contentLength !== undefined || context.version === "1.0");
  let clean = mustCopy || dropTrailerField ? copyEndToEnd(fields, dropTrailerField) : fields;
  if (contentLength !== undefined && contentLength > 0) clean = protectDisposition(clean);
  return { status, reason: head.reason, fields: clean, hasBody, contentLength };
}

function copyEndToEnd(fields: HeaderList, dropTrailerField: boolean): string[] {
  const listed = new Set<string>();
  const out: string[] = [];
  let hasLength = false;
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const value = fields[i + 1] ?? "";
    if (fieldKind(fields[i] ?? "") !== FieldKind.Connection || isPlainConnection(value)) continue;
    for (const option of connectionOptions(value)) listed.add(option);
  }
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i] ?? "";
    switch (fieldKind(name)) {
      case FieldKind.HopByHop:
      case FieldKind.Connection:
      case FieldKind.Upgrade:
      case FieldKind.TransferEncoding:
      case FieldKind.Te:
        continue;
      case FieldKind.ContentLength:
        if (hasLength) continue;
        hasLength = true;
        break;
      case FieldKind.Trailer:
        if (dropTrailerField) continue;
        break;
      default:
        if (listed.size > 0 && listed.has(name.toLowerCase())) continue;
    }
    out.push(name, fields[i + 1] ?? "");
  }
  return out;
}

const NON_ASCII = /[\u0080-\u00ff]/u;

/**
 * Node reads a `Content-Disposition` behind a `Content-Length` as UTF-8 in latin1 and decodes it (nodejs/node#46528).
 * Encoding it once more beforehand lets the app's bytes through.
 */
function protectDisposition(fields: HeaderList): HeaderList {
  let out: string[] | undefined;
  let isBehindLength = false;
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i] ?? "";
    if (fieldKind(name) === FieldKind.ContentLength) isBehindLength = true;
    if (!isBehindLength || name.length !== 19 || name.toLowerCase() !== "content-disposition") continue;
    const value = fields[i + 1] ?? "";
    if (!NON_ASCII.test(value)) continue;
    out ??= [...fields];
    out[i + 1] = Buffer.from(value, "utf8").toString("latin1");
  }
  return out ?? fields;
}

/** An interim or 101 head as bytes on the wire (to be written as latin1). */
export function rawHead(head: ResponseHead, fields: HeaderList): string {
  let text = `HTTP/1.1 ${head.status} ${head.reason}\r\n`;
  for (let i = 0; i + 1 < fields.length; i += 2) text += `${fields[i]}: ${fields[i + 1]}\r\n`;
  return `${text}\r\n`;
}

/** The fields of an interim head that pass: those of one hop do not, nor does framing, which it cannot have. */
export function interimFields(fields: HeaderList): string[] {
  const clean = copyEndToEnd(fields, true);
  const out: string[] = [];
  for (let i = 0; i + 1 < clean.length; i += 2) {
    if (fieldKind(clean[i] ?? "") !== FieldKind.ContentLength) out.push(clean[i] ?? "", clean[i + 1] ?? "");
  }
  return out;
}

/** The fields of a 101: as for an interim head, with its `Upgrade` and the one connection option that belongs to it. */
export function switchingFields(fields: HeaderList): string[] {
  const out: string[] = [];
  let hasConnection = false;
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i] ?? "";
    switch (fieldKind(name)) {
      case FieldKind.HopByHop:
      case FieldKind.TransferEncoding:
      case FieldKind.ContentLength:
      case FieldKind.Te:
      case FieldKind.Trailer:
        continue;
      case FieldKind.Connection:
        if (!hasConnection) out.push(name, "Upgrade");
        hasConnection = true;
        continue;
      default:
        out.push(name, fields[i + 1] ?? "");
    }
  }
  if (!hasConnection) out.push("Connection", "Upgrade");
  return out;
}

/** Trailer names that would change the meaning of a message that was read already (RFC 9110 6.5.1). */
export function trailerPasses(name: string): boolean {
  switch (fieldKind(name)) {
    case FieldKind.Plain:
      return !FORBIDDEN_TRAILERS.has(name.toLowerCase());
    default:
      return false;
  }
}
const FORBIDDEN_TRAILERS: ReadonlySet<string> = new Set([
  "authorization",
  "content-encoding",
  "content-range",
  "content-type",
  "cookie",
  "set-cookie",
  "expect",
  "max-forwards",
]);
