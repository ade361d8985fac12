import { z } from "zod";
import { escapeForTerminal } from "./escape.ts";

const bodySchema = z.object({ size: z.number(), sha256: z.string(), stored: z.boolean() });
const fieldList = z.array(z.string());

/** What lines and lists need of an exchange. */
export const summarySchema = z.looseObject({
  id: z.string(),
  seq: z.number(),
  tunnel_name: z.string(),
  start: z.string(),
  duration: z.number(),
  outcome: z.string(),
  error: z.string().nullable(),
  replay_of: z.string().nullable(),
  remote_addr: z.string(),
  signature: z.object({ provider: z.string(), verdict: z.string(), reason: z.string() }).nullable(),
  request: z.looseObject({ method: z.string(), uri: z.string(), proto: z.string(), body: bodySchema }),
  response: z.looseObject({ status: z.string(), status_code: z.number(), body: bodySchema }).nullable(),
});
/** One line of the list. */
export type Summary = z.infer<typeof summarySchema>;

/** An exchange whole, its bodies apart. */
export const exchangeSchema = summarySchema.extend({
  request: summarySchema.shape.request.extend({ header_list: fieldList, trailer_list: fieldList }),
  response: z
    .looseObject({
      status: z.string(),
      status_code: z.number(),
      proto: z.string(),
      header_list: fieldList,
      trailer_list: fieldList,
      body: bodySchema,
    })
    .nullable(),
});
/** An exchange whole, its bodies apart. */
export type WholeExchange = z.infer<typeof exchangeSchema>;

/** One line for people: id, time, method, status, duration, size, path. */
export function lineOf(exchange: Summary): string {
  const { request, response, start, duration, outcome, signature, replay_of } = exchange;
  const marks = [
    ...(outcome === "complete" ? [] : [outcome]),
    ...(signature === null ? [] : [`${signature.provider}: ${signature.verdict}`]),
    ...(replay_of === null ? [] : [`replay of ${replay_of}`]),
  ];
  const columns = [
    exchange.id,
    start.slice(0, 19).replace("T", " "),
    request.method.padEnd(6),
    String(response?.status_code ?? "-").padStart(3),
    (outcome === "open" ? "-" : formatMs(duration / 1e6)).padStart(8),
    formatBytes(response?.body.size ?? 0).padStart(8),
    request.uri,
    ...(marks.length === 0 ? [] : [`(${marks.join(", ")})`]),
  ];
  return columns.map(escapeForTerminal).join("  ");
}

/** An exchange for people, with its bodies as far as they are text. */
export function describeExchange(
  exchange: WholeExchange,
  bodies: { request: Buffer | undefined; response: Buffer | undefined },
): string {
  const { request, response, signature, replay_of, remote_addr, error } = exchange;
  const facts: [string, string][] = [
    ["id", exchange.id],
    ["time", exchange.start],
    ["tunnel", exchange.tunnel_name],
    ...(remote_addr === "" ? [] : [["visitor", remote_addr] as [string, string]]),
    ...(exchange.outcome === "open" ? [] : [["duration", formatMs(exchange.duration / 1e6)] as [string, string]]),
    ["outcome", error === null ? exchange.outcome : `${exchange.outcome} (${error})`],
    ...(signature === null
      ? []
      : [["signature", `${signature.verdict} (${signature.provider}): ${signature.reason}`] as [string, string]]),
    ...(replay_of === null ? [] : [["replay of", replay_of] as [string, string]]),
  ];
  const lines = facts.map(([name, value]) => `${name.padEnd(10)}${escapeForTerminal(value)}`);
  lines.push("", ...describePart(`${request.method} ${request.uri} ${request.proto}`, request, bodies.request));
  if (response !== null)
    lines.push("", ...describePart(`${response.proto} ${response.status}`, response, bodies.response));
  return `${lines.join("\n")}\n`;
}

interface Part {
  readonly header_list: readonly string[];
  readonly trailer_list: readonly string[];
  readonly body: z.infer<typeof bodySchema>;
}

function describePart(firstLine: string, part: Part, body: Buffer | undefined): string[] {
  const lines = [firstLine, ...fieldLines(part.header_list)].map(escapeForTerminal);
  if (part.body.size > 0) lines.push("", ...describeBody(part, body));
  if (part.trailer_list.length > 0) lines.push("", ...fieldLines(part.trailer_list).map(escapeForTerminal));
  return lines;
}

function describeBody({ body: { size, sha256 } }: Part, body: Buffer | undefined): string[] {
  if (body === undefined) return [`[${formatBytes(size)}, not stored${sha256 === "" ? "" : `; sha256 ${sha256}`}]`];
  const text = body.toString("utf8");
  if (!Buffer.from(text, "utf8").equals(body) || text.includes("\0"))
    return [`[${formatBytes(size)} that are no text]`];
  return text.replaceAll("\r\n", "\n").split("\n").map(escapeText);
}

/** A tab is harmless, and belongs to text. */
function escapeText(line: string): string {
  return line.split("\t").map(escapeForTerminal).join("\t");
}

function fieldLines(fields: readonly string[]): string[] {
  const lines: string[] = [];
  for (let i = 0; i < fields.length; i += 2) lines.push(`${fields[i]}: ${fields[i + 1]}`);
  return lines;
}

/** A message's head as it was on the wire. */
export function rawHead(firstLine: string, fields: readonly string[]): Buffer {
  return Buffer.from(`${[firstLine, ...fieldLines(fields)].join("\r\n")}\r\n\r\n`, "latin1");
}

function formatMs(ms: number): string {
  return ms < 1_000 ? `${Math.round(ms * 10) / 10}ms` : `${Math.round(ms / 100) / 10}s`;
}

function formatBytes(bytes: number): string {
  if (bytes < 1_024) return `${bytes}B`;
  return bytes < 1_048_576 ? `${Math.round(bytes / 102.4) / 10}KiB` : `${Math.round(bytes / 104_857.6) / 10}MiB`;
}
