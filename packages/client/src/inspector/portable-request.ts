import { getField, type HeaderList } from "@ggrok/protocol";
import { isBelow } from "../forward/mounts.ts";
import { originForm } from "../forward/target.ts";
import type { ExchangeRecord } from "./exchange-record.ts";

/** A recorded request as another program would send it to the public address. */
export interface PortableRequest {
  readonly method: string;
  /** One character is one byte. */
  readonly url: string;
  /** Set when the target is no path: `*`. */
  readonly bareTarget?: string;
  /** Without what the program itself or the relay on its way puts there. */
  readonly fields: HeaderList;
  /** Undefined: not stored. */
  readonly body: Buffer | undefined;
  /** Where the bytes of the body can be had, for commands that cannot carry them. */
  readonly bodySource: BodySource;
}

/** A stored body outside of the command. */
export interface BodySource {
  /** Name for a file. */
  readonly file: string;
  /** Address it can be loaded from without a token; undefined: it has to be saved first. */
  readonly url?: string;
}

/** Fields of a hop, of the framing, and those that the relay writes anew. */
const NOT_CARRIED: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "expect",
  "forwarded",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "via",
  "x-forwarded-for",
  "x-forwarded-host",
  "x-forwarded-port",
  "x-forwarded-prefix",
  "x-forwarded-proto",
  "x-real-ip",
  "x-request-id",
]);

/** Prepares a recorded request for the commands that repeat it. */
export function portRequest(record: ExchangeRecord, body: Buffer | undefined, bodySource: BodySource): PortableRequest {
  const { request } = record;
  const base = publicBase(record);
  const path = originForm(request.target);
  const isPath = path.startsWith("/");
  const host = new URL(base).host;
  const fields: string[] = [];
  for (let i = 0; i < request.fields.length; i += 2) {
    const name = request.fields[i] ?? "";
    const value = request.fields[i + 1] ?? "";
    const lower = name.toLowerCase();
    // The address says it already.
    if (NOT_CARRIED.has(lower) || (lower === "host" && value.toLowerCase() === host)) continue;
    fields.push(name, value);
  }
  return {
    method: request.method,
    url: publicUrl(record),
    ...(!isPath && { bareTarget: request.target }),
    fields,
    body: request.body.size === 0 ? Buffer.alloc(0) : body,
    bodySource,
  };
}

/** The address the visitor asked for, as far as it is known. */
export function publicUrl(record: ExchangeRecord): string {
  const base = publicBase(record);
  const path = originForm(record.request.target);
  const { origin, pathname } = new URL(base);
  if (!path.startsWith("/")) return `${origin}/`;
  const prefix = pathname.replace(/\/$/, "");
  // A relay that strips the tunnel's path has done so before the agent got the request.
  return prefix === "" || isBelow(path, prefix) ? origin + path : origin + prefix + path;
}

function publicBase(record: ExchangeRecord): string {
  if (URL.canParse(record.url) && /^https?:/.test(record.url)) return record.url;
  const { fields } = record.request;
  const scheme = getField(fields, "x-forwarded-proto") === "https" ? "https" : "http";
  const base = `${scheme}://${getField(fields, "host") ?? "localhost"}`;
  return URL.canParse(base) ? base : "http://localhost";
}
