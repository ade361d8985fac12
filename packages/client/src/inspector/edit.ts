import {
  GgrokError,
  getField,
  getFields,
  type HeaderList,
  isTarget,
  isToken,
  LIMITS,
  validateFields,
} from "@ggrok/protocol";
import { z } from "zod";
import { setField } from "../forward/set-field.ts";
import { setJsonValue } from "./json-splice.ts";

/** A request that is about to be sent again. */
export interface ReplayRequest {
  readonly method: string;
  readonly target: string;
  readonly version: "1.0" | "1.1";
  readonly fields: HeaderList;
  readonly trailers: HeaderList;
  readonly body: Buffer;
}

/** What can be changed before it is sent. */
export const editSchema = z.strictObject({
  method: z.string().optional(),
  target: z.string().optional(),
  /** Parameters of the query by name; null takes one away. */
  query: z.record(z.string(), z.string().nullable()).optional(),
  /** All fields anew: name, value, name, value. */
  header_list: z.array(z.string()).optional(),
  /** Values by name: the first field of that name gets it, the others go; a new name comes last. */
  set_headers: z.record(z.string(), z.string()).optional(),
  remove_headers: z.array(z.string()).optional(),
  body_base64: z.base64().optional(),
  /** Values by path, in a body that is JSON. */
  json: z.record(z.string(), z.unknown()).optional(),
});

/** What can be changed before it is sent. */
export type Edit = z.infer<typeof editSchema>;

/**
 * Changes a request. Everything the edit does not name stays byte for byte; the length follows the body.
 *
 * @throws GgrokError ERR_GGROK_EDIT_INVALID when what comes out is no request
 */
export function applyEdit(request: ReplayRequest, edit: Edit): ReplayRequest {
  const body = editBody(request, edit);
  const target = editTarget(edit.target ?? request.target, edit.query ?? {});
  const edited: ReplayRequest = {
    ...request,
    method: edit.method ?? request.method,
    target,
    fields: fitLength(editFields(request.fields, edit), { body, before: request.body, isGiven: givesLength(edit) }),
    body,
  };
  check(edited);
  return edited;
}

function editBody(request: ReplayRequest, { body_base64, json }: Edit): Buffer {
  const body = body_base64 === undefined ? request.body : Buffer.from(body_base64, "base64");
  if (json === undefined) return body;
  const codings = getField(request.fields, "content-encoding") ?? "identity";
  if (codings.toLowerCase() !== "identity" && body_base64 === undefined)
    throw invalid(`the body is encoded as "${codings}": give it whole to change it`);
  let text = body.toString("utf8");
  if (!Buffer.from(text, "utf8").equals(body)) throw invalid("the body is no JSON");
  try {
    for (const [path, value] of Object.entries(json)) text = setJsonValue(text, path, value);
  } catch (cause) {
    throw invalid(cause instanceof Error ? cause.message : String(cause), cause);
  }
  return Buffer.from(text, "utf8");
}

function editTarget(target: string, query: NonNullable<Edit["query"]>): string {
  const names = Object.keys(query);
  if (names.length === 0) return target;
  const at = target.indexOf("?");
  const path = at === -1 ? target : target.slice(0, at);
  const pairs = at === -1 || at === target.length - 1 ? [] : target.slice(at + 1).split("&");
  const done = new Set<string>();
  const kept = pairs.flatMap((pair) => {
    const name = nameOfPair(pair);
    if (!Object.hasOwn(query, name)) return [pair];
    const value = query[name] ?? null;
    if (value === null || done.has(name)) return [];
    done.add(name);
    return [`${pair.split("=", 1)[0] ?? ""}=${encodeURIComponent(value)}`];
  });
  for (const name of names) {
    const value = query[name] ?? null;
    if (value !== null && !done.has(name)) kept.push(`${encodeURIComponent(name)}=${encodeURIComponent(value)}`);
  }
  return kept.length === 0 ? path : `${path}?${kept.join("&")}`;
}

function nameOfPair(pair: string): string {
  const name = pair.split("=", 1)[0] ?? "";
  try {
    return decodeURIComponent(name.replaceAll("+", " "));
  } catch {
    return name;
  }
}

function editFields(before: HeaderList, { header_list, set_headers = {}, remove_headers = [] }: Edit): string[] {
  let fields = [...(header_list ?? before)];
  for (const name of remove_headers) fields = setField(fields, name, undefined);
  for (const [name, value] of Object.entries(set_headers)) fields = setField(fields, name, value);
  if (getField(fields, "transfer-encoding") !== undefined && getField(before, "transfer-encoding") === undefined)
    throw invalid("Transfer-Encoding belongs to the connection: it cannot be set");
  return fields;
}

function givesLength({ header_list, set_headers = {} }: Edit): boolean {
  const isLength = (name: string): boolean => name.toLowerCase() === "content-length";
  return (
    Object.keys(set_headers).some(isLength) || header_list?.some((part, i) => i % 2 === 0 && isLength(part)) === true
  );
}

/** A chunked body stays chunked, any other gets its length. */
function fitLength(fields: string[], o: { body: Buffer; before: Buffer; isGiven: boolean }): string[] {
  const { body, before, isGiven } = o;
  const lengths = getFields(fields, "content-length");
  if (lengths.length === 0) {
    const isNew = before.length === 0 && body.length > 0;
    return isNew ? setField(fields, "Content-Length", String(body.length)) : fields;
  }
  if (lengths.every((length) => length === String(body.length))) return fields;
  // The page sends all fields back, the length of the former body among them.
  const isStale = !isGiven || lengths.every((length) => length === String(before.length));
  if (isStale) return setField(fields, "Content-Length", String(body.length));
  throw invalid(`Content-Length is ${lengths.join(", ")}, but the body has ${body.length} bytes`);
}

/** What the relay would refuse of a visitor is refused here. */
function check({ method, target, fields }: ReplayRequest): void {
  if (!isToken(method) || method.length > 64) throw invalid(`"${method}" is no method`);
  if (method === "CONNECT") throw invalid("CONNECT cannot be sent to an app");
  if (target.length > LIMITS.TARGET_BYTES_MAX) {
    throw invalid(`the target has ${target.length} bytes, ${LIMITS.TARGET_BYTES_MAX} are allowed`);
  }
  if (!isTarget(target)) throw invalid("the target is empty or has characters that no target has");
  if (!/^(?:\/|https?:\/\/)/i.test(target) && !(target === "*" && method === "OPTIONS"))
    throw invalid(`the target "${target}" does not begin with a slash`);
  try {
    validateFields(fields);
  } catch (cause) {
    throw invalid(cause instanceof Error ? cause.message : String(cause), cause);
  }
  if (getFields(fields, "host").length > 1) throw invalid("there is more than one Host field");
}

function invalid(message: string, cause?: unknown): GgrokError {
  return new GgrokError("ERR_GGROK_EDIT_INVALID", { message, cause });
}
