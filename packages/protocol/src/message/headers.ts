import { GgrokError } from "../errors.ts";
import { LIMITS } from "../limits.ts";

/**
 * Header fields as they stood on the wire: name, value, name, value. Order, case and duplicates are kept; every character
 * is one byte (latin1, U+0000-U+00FF).
 */
export type HeaderList = readonly string[];

/** RFC 9110 section 5.6.2. */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** RFC 9110 section 5.5: visible characters, space, tab and bytes above 0x7F; nothing above U+00FF is a byte. */
const FIELD_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
/** RFC 9112 section 3.2, and the raw bytes above 0x7F that clients send. */
const TARGET = /^[\x21-\x7e\x80-\xff]+$/;

/**
 * RFC 9110 section 7.6.1 and the fields older software treats the same way. Trailer is not among them: it announces what
 * travels to the end.
 */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "proxy-authenticate",
  "proxy-authorization",
  "te",
  "transfer-encoding",
  "upgrade",
  "http2-settings",
]);

/** Most names have another length, and so need not be lower-cased to be told from these. */
const HOP_BY_HOP_LENGTHS: ReadonlySet<number> = new Set([...HOP_BY_HOP].map(({ length }) => length));

/** Whether a text is a token: a method or a field name. */
export function isToken(text: string): boolean {
  return TOKEN.test(text);
}

/** Whether a text can stand as a field's value. */
export function isFieldValue(text: string): boolean {
  return FIELD_VALUE.test(text);
}

/** Whether a text can stand as a request target; its length is checked apart. */
export function isTarget(text: string): boolean {
  return TARGET.test(text);
}

/**
 * Checks a header list before it is used.
 *
 * @throws GgrokError ERR_GGROK_HEAD_INVALID
 */
export function validateFields(fields: HeaderList): void {
  const { length } = fields;
  if ((length & 1) === 1) throw invalid("a field has no value");
  if (length > LIMITS.FIELDS_MAX * 2) throw invalid(`${length / 2} fields, ${LIMITS.FIELDS_MAX} are allowed`);
  for (let i = 0; i < length; i += 2) {
    if (!TOKEN.test(fields[i] ?? "")) throw invalid("a field name is not a token");
    if (!FIELD_VALUE.test(fields[i + 1] ?? ""))
      throw invalid(`the value of ${fields[i]} has a character no field can carry`);
  }
}

/** First value of a field, by its lower-case name. */
export function getField(fields: HeaderList, lowerName: string): string | undefined {
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i];
    if (name !== undefined && name.length === lowerName.length && name.toLowerCase() === lowerName)
      return fields[i + 1];
  }
  return undefined;
}

/** All values of a field in order, by its lower-case name. */
export function getFields(fields: HeaderList, lowerName: string): string[] {
  const values: string[] = [];
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i];
    if (name === undefined || name.length !== lowerName.length || name.toLowerCase() !== lowerName) continue;
    values.push(fields[i + 1] ?? "");
  }
  return values;
}

/**
 * A copy without the fields that belong to one hop (RFC 9110 section 7.6.1), those named in Connection included.
 *
 * @param o.keepUpgrade keeps Upgrade and `Connection: Upgrade`, for an exchange that changes protocol
 * @param o.keepTrailers keeps `TE: trailers`, for a hop that passes trailers on
 */
export function removeHopByHop(
  fields: HeaderList,
  o: { keepUpgrade?: boolean; keepTrailers?: boolean } = {},
): string[] {
  const named = namedInConnection(fields);
  const kept: string[] = [];
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] ?? "";
    const value = fields[i + 1] ?? "";
    if (named === undefined && !HOP_BY_HOP_LENGTHS.has(name.length)) {
      kept.push(name, value);
      continue;
    }
    const lower = name.toLowerCase();
    if (lower === "upgrade" && o.keepUpgrade === true) kept.push(name, value);
    else if (lower === "connection" && o.keepUpgrade === true && /(?:^|,)\s*upgrade\s*(?:,|$)/i.test(value)) {
      kept.push(name, "Upgrade");
    } else if (lower === "te" && o.keepTrailers === true && /(?:^|,)\s*trailers\s*(?:,|;|$)/i.test(value)) {
      kept.push(name, "trailers");
    } else if (!HOP_BY_HOP.has(lower) && named?.has(lower) !== true) kept.push(name, value);
  }
  return kept;
}

/** Fields that delimit the body or route the message are never a hop's own, whatever Connection names. */
const END_TO_END: ReadonlySet<string> = new Set(["content-length", "host", "close", "keep-alive", "upgrade", "te"]);

function namedInConnection(fields: HeaderList): Set<string> | undefined {
  let named: Set<string> | undefined;
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i];
    if (name === undefined || name.length !== 10 || name.toLowerCase() !== "connection") continue;
    const value = fields[i + 1] ?? "";
    // What nearly every answer says, and names nothing.
    if (value === "keep-alive" || value === "close") continue;
    for (const part of value.split(",")) {
      const lower = part.trim().toLowerCase();
      if (lower === "" || END_TO_END.has(lower)) continue;
      named ??= new Set();
      named.add(lower);
    }
  }
  return named;
}

function invalid(message: string): GgrokError {
  return new GgrokError("ERR_GGROK_HEAD_INVALID", { message });
}
