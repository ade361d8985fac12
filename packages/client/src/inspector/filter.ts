import type { ExchangeRecord } from "./exchange-record.ts";

/** Which exchanges are wanted. All given parts must hold. */
export interface Filter {
  /** Anywhere in method, target, a field's name or value, or the visitor's address; case does not matter. */
  readonly text?: string;
  /** Upper case. */
  readonly method?: string;
  /** `404`, or a class such as `4xx`; `none` for exchanges without an answer. */
  readonly status?: string;
  /** Glob over the path, the query excluded: `*` is any run of characters, `?` one. */
  readonly path?: string;
  readonly tunnel?: string;
  /** Epoch milliseconds: received then or later. */
  readonly since?: number;
}

/** Names of the parts, as they stand in query strings and in `--filter`. */
export const FILTER_NAMES = ["text", "method", "status", "path", "tunnel", "since"] as const;
type FilterName = (typeof FILTER_NAMES)[number];

/**
 * Reads a filter from texts by name; empty ones count as missing.
 *
 * @throws Error with a sentence for the user
 */
export function parseFilter(parts: Iterable<readonly [string, string]>): Filter {
  const filter: { -readonly [K in keyof Filter]: Filter[K] } = {};
  for (const [name, value] of parts) {
    if (value === "") continue;
    if (!isFilterName(name)) throw new Error(`"${name}" is no filter; there are ${FILTER_NAMES.join(", ")}`);
    if (name === "method") filter.method = value.toUpperCase();
    else if (name === "status") filter.status = parseStatus(value);
    else if (name === "since") filter.since = parseSince(value);
    else filter[name] = value;
  }
  return filter;
}

/** Reads the command line's form: `method=POST status=5xx path=/hooks/*`; a word without `=` is text. */
export function parseFilterText(text: string): Filter {
  const parts: [string, string][] = [];
  const words: string[] = [];
  for (const part of text.trim().split(/\s+/)) {
    if (part === "") continue;
    const at = part.indexOf("=");
    if (at === -1) words.push(part);
    else parts.push([part.slice(0, at), part.slice(at + 1)]);
  }
  if (words.length > 0) parts.push(["text", words.join(" ")]);
  return parseFilter(parts);
}

/** Makes the test for one filter. */
export function createMatcher(filter: Filter): (record: ExchangeRecord) => boolean {
  const text = filter.text?.toLowerCase();
  const path = filter.path === undefined ? undefined : globToRegExp(filter.path);
  return (record) =>
    (filter.method === undefined || record.request.method.toUpperCase() === filter.method) &&
    (filter.tunnel === undefined || record.tunnel === filter.tunnel) &&
    (filter.since === undefined || record.timings.receivedAt >= filter.since) &&
    (filter.status === undefined || isStatus(filter.status, record.response?.status)) &&
    (path === undefined || path.test(pathOf(record.request.target))) &&
    (text === undefined || hasText(record, text));
}

/** Turns a glob into an anchored expression. */
export function globToRegExp(glob: string): RegExp {
  // Runs of stars are one: `***` must not try every split of the text.
  const source = glob
    .replace(/\*+/g, "*")
    .replace(/[.+^${}()|[\]\\]/g, "\\$&")
    .replace(/\*/g, ".*")
    .replace(/\?/g, ".");
  return new RegExp(`^${source}$`, "s");
}

function isFilterName(name: string): name is FilterName {
  return (FILTER_NAMES as readonly string[]).includes(name);
}

function parseStatus(value: string): string {
  const status = value.toLowerCase();
  if (!/^(?:[1-5]\d\d|[1-5]xx|none)$/.test(status))
    throw new Error(`status "${value}" is neither like 404, 4xx nor none`);
  return status;
}

function parseSince(value: string): number {
  const ms = /^\d{1,16}$/.test(value) ? Number(value) : Date.parse(value);
  if (!Number.isSafeInteger(ms)) throw new Error(`since "${value}" is neither a date nor milliseconds`);
  return ms;
}

function isStatus(wanted: string, status: number | undefined): boolean {
  if (wanted === "none") return status === undefined;
  if (status === undefined) return false;
  return wanted.endsWith("xx") ? Math.floor(status / 100) === Number(wanted[0]) : status === Number(wanted);
}

function pathOf(target: string): string {
  const at = target.indexOf("?");
  return at === -1 ? target : target.slice(0, at);
}

function hasText(record: ExchangeRecord, text: string): boolean {
  const { request, response } = record;
  return (
    `${request.method} ${request.target}`.toLowerCase().includes(text) ||
    record.id === text ||
    (record.client?.includes(text) ?? false) ||
    hasField(request.fields, text) ||
    (response !== undefined && hasField(response.fields, text))
  );
}

function hasField(fields: readonly string[], text: string): boolean {
  return fields.some((part) => part.toLowerCase().includes(text));
}
