import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { parseFlag, UsageError } from "./exit-codes.ts";

/** What the local API takes as an edit. */
export interface EditOrder {
  method?: string;
  target?: string;
  query?: Record<string, string | null>;
  set_headers?: Record<string, string>;
  remove_headers?: string[];
  body_base64?: string;
  json?: Record<string, unknown>;
}

const FORMS =
  "write method=PUT, path=/x, query.NAME=VALUE, header.NAME=VALUE, json.PATH=VALUE, body=TEXT or body=@FILE; an empty header or query takes it away";

/** Reads the values of `--edit`, in their order; undefined when there are none. */
export function parseEdits(texts: readonly string[], cwd: string): EditOrder | undefined {
  if (texts.length === 0) return undefined;
  const edit: EditOrder = {};
  for (const text of texts) {
    const at = text.indexOf("=");
    if (at === -1) throw new UsageError(`--edit ${text}: ${FORMS}`);
    apply(edit, { text, key: text.slice(0, at), value: text.slice(at + 1) }, cwd);
  }
  return edit;
}

function apply(edit: EditOrder, { text, key, value }: { text: string; key: string; value: string }, cwd: string): void {
  const dot = key.indexOf(".");
  const [kind, name] = dot === -1 ? [key, ""] : [key.slice(0, dot), key.slice(dot + 1)];
  if (kind === "method" && dot === -1) edit.method = value;
  else if ((kind === "path" || kind === "target") && dot === -1) edit.target = value;
  else if (kind === "body" && dot === -1) edit.body_base64 = readBody(value, cwd).toString("base64");
  else if (kind === "query" && name !== "") edit.query = { ...edit.query, [name]: value === "" ? null : value };
  else if (kind === "json" && name !== "") edit.json = { ...edit.json, [name]: parseValue(value) };
  else if (kind === "header" && name !== "") {
    if (value === "") edit.remove_headers = [...(edit.remove_headers ?? []), name];
    else edit.set_headers = { ...edit.set_headers, [name]: toFieldValue(value) };
  } else throw new UsageError(`--edit ${text}: ${FORMS}`);
}

function readBody(value: string, cwd: string): Buffer {
  if (!value.startsWith("@")) return Buffer.from(value, "utf8");
  return parseFlag("--edit body", () => readFileSync(resolve(cwd, value.slice(1))));
}

/** JSON where it is JSON, text where it is not: `json.id=7` is a number, `json.name=Eve` a text. */
function parseValue(value: string): unknown {
  try {
    return JSON.parse(value) as unknown;
  } catch {
    return value;
  }
}

/** Bytes of UTF-8, one character each, as fields are kept. */
function toFieldValue(value: string): string {
  return Buffer.from(value, "utf8").toString("latin1");
}
