import { z } from "zod";
import { GgrokError } from "../errors.ts";
import { LIMITS } from "../limits.ts";
import { type HeaderList, isFieldValue, isTarget, isToken, validateFields } from "./headers.ts";

/** Facts beside a head; unknown keys are ignored by the peer. */
export interface OpenMeta {
  /** Address of the visitor. */
  client?: string;
  /** Of a TCP tunnel: the visitor's port, and address and port at which it reached the relay. */
  clientPort?: number;
  local?: string;
  localPort?: number;
  [key: string]: unknown;
}

/** Head of a visitor's request. */
export interface HttpOpenHead {
  kind: "http" | "upgrade";
  /** The agent's own number of the endpoint. */
  bind: number;
  /** Shown to the visitor, in the relay's log and on the agent's screen. */
  requestId: string;
  method: string;
  target: string;
  version: "1.0" | "1.1";
  fields: HeaderList;
  meta?: OpenMeta;
}

/** Opens a raw byte channel. */
export interface TcpOpenHead {
  kind: "tcp";
  /** The agent's number of the endpoint, or its name when a connector asks. */
  bind: number | string;
  requestId: string;
  meta?: OpenMeta;
}

/** Head of OPEN. */
export type OpenHead = HttpOpenHead | TcpOpenHead;

/** Head of an answer, interim or final. */
export interface ResponseHead {
  status: number;
  reason: string;
  fields: HeaderList;
}

// Only shapes: each check inside a schema costs objects for every head, and the content is looked at below anyway.
const httpTuple = z.tuple([
  z.enum(["http", "upgrade"]),
  z.number(),
  z.string(),
  z.string(),
  z.string(),
  z.enum(["1.0", "1.1"]),
  z.unknown(),
  z.unknown().optional(),
]);
const tcpTuple = z.tuple([z.literal("tcp"), z.union([z.number(), z.string()]), z.string(), z.unknown().optional()]);
const responseTuple = z.tuple([z.number(), z.string(), z.unknown()]);
const trailersTuple = z.tuple([z.unknown()]);

/** Front ends hand out ids of up to some dozens (protocol.md, section 4). */
const REQUEST_ID_CHARACTERS_MAX = 128;
/** A connector names a tunnel by a label or by a whole host, which has 253 at most. */
const NAME_CHARACTERS_MAX = 255;

/** The JSON tuple of an OPEN head. */
export function openTuple(head: OpenHead): unknown[] {
  const tuple: unknown[] =
    head.kind === "tcp"
      ? [head.kind, head.bind, head.requestId]
      : [head.kind, head.bind, head.requestId, head.method, head.target, head.version, head.fields];
  if (head.meta !== undefined) tuple.push(head.meta);
  return tuple;
}

/** Validates the tuple of an OPEN head. @throws GgrokError violation for its shape, head-invalid for its content */
export function parseOpenTuple(value: unknown): OpenHead {
  if (Array.isArray(value) && value[0] === "tcp") return parseTcpTuple(value);
  const http = httpTuple.safeParse(value);
  if (!http.success) throw malformed("OPEN head");
  const [kind, bind, requestId, method, target, version, fields, meta] = http.data;
  if (!isBindNumber(bind) || !isRequestId(requestId) || !isTextList(fields) || !isMeta(meta))
    throw malformed("OPEN head");
  if (method.length > 64 || !isToken(method)) throw invalid("the method is not a token");
  if (target.length > LIMITS.TARGET_BYTES_MAX) {
    throw invalid(`the target has ${target.length} bytes, ${LIMITS.TARGET_BYTES_MAX} are allowed`);
  }
  if (!isTarget(target)) throw invalid("the target has a character no target can carry");
  checkValue(requestId, "request id");
  validateFields(fields);
  return meta === undefined
    ? { kind, bind, requestId, method, target, version, fields }
    : { kind, bind, requestId, method, target, version, fields, meta };
}

function parseTcpTuple(value: unknown): TcpOpenHead {
  const tcp = tcpTuple.safeParse(value);
  if (!tcp.success) throw malformed("OPEN head");
  const [kind, bind, requestId, meta] = tcp.data;
  const isNamed = typeof bind === "string" ? isShortText(bind, NAME_CHARACTERS_MAX) : isBindNumber(bind);
  if (!isNamed || !isRequestId(requestId) || !isMeta(meta)) throw malformed("OPEN head");
  checkValue(requestId, "request id");
  return meta === undefined ? { kind, bind, requestId } : { kind, bind, requestId, meta };
}

/** Validates the tuple of a HEAD. */
export function parseResponseTuple(value: unknown): ResponseHead {
  const parsed = responseTuple.safeParse(value);
  if (!parsed.success) throw malformed("HEAD");
  const [status, reason, fields] = parsed.data;
  if (!Number.isInteger(status) || status < 100 || status > 999 || !isTextList(fields)) throw malformed("HEAD");
  checkValue(reason, "reason");
  validateFields(fields);
  return { status, reason, fields };
}

/** Validates the tuple of TRAILERS. */
export function parseTrailersTuple(value: unknown): HeaderList {
  const parsed = trailersTuple.safeParse(value);
  if (!parsed.success || !isTextList(parsed.data[0])) throw malformed("TRAILERS");
  const [fields] = parsed.data;
  validateFields(fields);
  return fields;
}

function isBindNumber(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff;
}

function isRequestId(text: string): boolean {
  return isShortText(text, REQUEST_ID_CHARACTERS_MAX);
}

function isShortText(text: string, max: number): boolean {
  return text.length > 0 && text.length <= max;
}

function isTextList(value: unknown): value is string[] {
  if (!Array.isArray(value)) return false;
  for (const item of value) if (typeof item !== "string") return false;
  return true;
}

function isMeta(value: unknown): value is OpenMeta | undefined {
  return value === undefined || (typeof value === "object" && value !== null && !Array.isArray(value));
}

function checkValue(text: string, what: string): void {
  if (!isFieldValue(text)) throw invalid(`the ${what} has a character it cannot carry`);
}

function invalid(message: string): GgrokError {
  return new GgrokError("ERR_GGROK_HEAD_INVALID", { message });
}

function malformed(what: string): GgrokError {
  return new GgrokError("ERR_GGROK_PROTOCOL_VIOLATION", { message: `${what} has the wrong shape` });
}
