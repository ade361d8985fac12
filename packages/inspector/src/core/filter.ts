import type { Summary } from "./exchange.ts";
import { splitTarget } from "./form.ts";

/** Which exchanges are shown; empty parts ask for nothing. The local API's words. */
export interface Filter {
  readonly text: string;
  readonly method: string;
  /** `404`, `4xx` or `none`. */
  readonly status: string;
  /** Glob over the path. */
  readonly path: string;
  readonly tunnel: string;
}

/** Everything. */
export const NO_FILTER: Filter = { text: "", method: "", status: "", path: "", tunnel: "" };

/** Whether anything is asked for. */
export function isFiltering(filter: Filter): boolean {
  return Object.values(filter).some((part) => part !== "");
}

/** The filter as the local API takes it, what it would refuse left out. */
export function toQuery(filter: Filter): URLSearchParams {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(filter)) {
    if (value !== "" && (name !== "status" || isStatusFilter(value))) query.set(name, value);
  }
  return query;
}

/** Whether a status can be asked for. */
export function isStatusFilter(text: string): boolean {
  return /^(?:[1-5]\d\d|[1-5]xx|none)$/i.test(text);
}

/**
 * Makes the test for one filter. Header fields are not in the list: for their sake the text is looked up by the agent.
 *
 * @param hits ids the agent has found the text in
 */
export function createMatcher(filter: Filter, hits: ReadonlySet<string>): (row: Summary) => boolean {
  const text = filter.text.toLowerCase();
  const method = filter.method.toUpperCase();
  const status = isStatusFilter(filter.status) ? filter.status.toLowerCase() : "";
  const path = filter.path === "" ? undefined : globToRegExp(filter.path);
  return (row) =>
    (method === "" || row.request.method.toUpperCase() === method) &&
    (filter.tunnel === "" || row.tunnel_name === filter.tunnel) &&
    (status === "" || hasStatus(status, row.response?.status_code)) &&
    (path === undefined || path.test(splitTarget(row.request.uri).path)) &&
    (text === "" || hits.has(row.id) || hasText(row, text));
}

function hasText(row: Summary, text: string): boolean {
  return (
    `${row.request.method} ${row.request.uri}`.toLowerCase().includes(text) ||
    row.id.toLowerCase() === text ||
    row.remote_addr.includes(text)
  );
}

function hasStatus(wanted: string, status: number | undefined): boolean {
  if (wanted === "none") return status === undefined;
  if (status === undefined) return false;
  return wanted.endsWith("xx") ? String(status)[0] === wanted[0] : String(status) === wanted;
}

/** `*` is any run of characters, `?` one. */
function globToRegExp(glob: string): RegExp {
  const source = glob
    .replace(/\*+/g, "*")
    .replace(/[.+^${}()|[\]\\]/g, "\\$&")
    .replace(/\*/g, ".*")
    .replace(/\?/g, ".");
  return new RegExp(`^${source}$`, "s");
}
