import { getField, type HeaderList } from "@ggrok/protocol";
import type { HeaderPairs, RecordedMessage } from "./exchange-record.ts";

/** What stands where something was taken out. */
export const REDACTED = "[redacted]";
/** The same in a query or a form, where brackets would have to be escaped. */
const REDACTED_IN_FORM = "redacted";
/** Content that holds no names, whatever its first byte. */
const NAMELESS_TYPE = /^(?:image|audio|video|font)\//;

/** What is to become of a body: `keep` it, `rewrite` it, or `withhold` it, since names in it could not be found. */
export type BodyFate = "keep" | "rewrite" | "withhold";

/** Takes the values of named header fields, JSON fields, form fields and query parameters out of what is written. */
export class Redactor {
  readonly #names: ReadonlySet<string>;

  /** @param names case does not matter */
  constructor(names: Iterable<string>) {
    this.#names = new Set([...names].map((name) => name.trim().toLowerCase()).filter((name) => name !== ""));
  }

  get isIdle(): boolean {
    return this.#names.size === 0;
  }

  fields(fields: HeaderPairs): HeaderPairs {
    if (this.isIdle) return fields;
    return fields.map((part, i) => (i % 2 === 1 && this.#has(fields[i - 1] ?? "") ? REDACTED : part));
  }

  target(target: string): string {
    const at = target.indexOf("?");
    if (this.isIdle || at === -1) return target;
    return target.slice(0, at + 1) + this.#form(target.slice(at + 1));
  }

  /** Decides by a body's head and first bytes, so that it is known before all of it is there. */
  judge(fields: HeaderList, firstBytes: Buffer): BodyFate {
    if (this.isIdle) return "keep";
    const type = (getField(fields, "content-type") ?? "").trim().toLowerCase();
    if (NAMELESS_TYPE.test(type)) return "keep";
    const encoding = (getField(fields, "content-encoding") ?? "identity").trim().toLowerCase();
    // The names of an event stream are found in its messages.
    if (type.startsWith("text/event-stream")) return "withhold";
    if (encoding !== "identity" && encoding !== "") return "withhold";
    return isForm(type) || isJsonType(type) || looksLikeJson(firstBytes) ? "rewrite" : "keep";
  }

  /** @returns the body without the values; undefined when it cannot be told where they are */
  body(fields: HeaderList, body: Buffer): Buffer | undefined {
    const type = (getField(fields, "content-type") ?? "").trim().toLowerCase();
    if (isForm(type)) return Buffer.from(this.#form(body.toString("latin1")), "latin1");
    const rewritten = this.json(body);
    if (rewritten !== undefined) return rewritten;
    // Said to be JSON and is not: the names may be anywhere. Several documents in a row are read line by line.
    return isJsonType(type) || looksLikeJson(body) ? this.#jsonLines(body) : body;
  }

  /** The content of a message: JSON with the values taken out, anything else as it is. */
  message(data: Buffer, isWhole: boolean, opcode: RecordedMessage["opcode"]): Buffer {
    if (this.isIdle) return data;
    if (opcode === "event") return this.#event(data, isWhole);
    if (!looksLikeJson(data)) return data;
    return (isWhole ? this.json(data) : undefined) ?? Buffer.from(REDACTED);
  }

  /** An event's JSON may go over several lines of data, which makes one text of them. */
  #event(block: Buffer, isWhole: boolean): Buffer {
    const lines = block.toString("latin1").split(/\r\n|\r|\n/);
    const data = lines.filter((line) => /^data(?::|$)/.test(line)).map((line) => line.slice(5).replace(/^ /, ""));
    const text = Buffer.from(data.join("\n"), "latin1");
    if (!looksLikeJson(text)) return block;
    const rewritten = (isWhole ? this.json(text) : undefined) ?? Buffer.from(REDACTED);
    if (rewritten.equals(text)) return block;
    const others = lines.filter((line) => !/^data(?::|$)/.test(line));
    const kept = rewritten
      .toString("latin1")
      .split("\n")
      .map((line) => `data: ${line}`);
    return Buffer.from([...others, ...kept].join("\n"), "latin1");
  }

  /** Only the values change; white space, order and numbers stay as they are. @returns undefined when it is no JSON */
  json(body: Buffer): Buffer | undefined {
    const text = body.toString("latin1");
    try {
      JSON.parse(body.toString("utf8"));
    } catch {
      return undefined;
    }
    let result = "";
    let copied = 0;
    for (let at = text.indexOf('"'); at !== -1; at = text.indexOf('"', at)) {
      const end = endOfString(text, at);
      const start = startOfValue(text, end);
      // A string without a colon is a value: no key is looked for inside of it.
      if (start === undefined || !this.#hasJsonKey(text.slice(at, end))) {
        at = end;
        continue;
      }
      result += `${text.slice(copied, start)}"${REDACTED}"`;
      copied = endOfValue(text, start);
      at = copied;
    }
    return Buffer.from(result + text.slice(copied), "latin1");
  }

  #jsonLines(body: Buffer): Buffer | undefined {
    const lines = body.toString("latin1").split("\n");
    const rewritten: string[] = [];
    for (const line of lines) {
      const json = line.trim() === "" ? Buffer.from(line, "latin1") : this.json(Buffer.from(line, "latin1"));
      if (json === undefined) return undefined;
      rewritten.push(json.toString("latin1"));
    }
    return Buffer.from(rewritten.join("\n"), "latin1");
  }

  #form(text: string): string {
    return text
      .split("&")
      .map((pair) => {
        const at = pair.indexOf("=");
        if (at === -1) return pair;
        const name = pair.slice(0, at);
        return this.#has(decodeName(name)) || this.#has(name) ? `${name}=${REDACTED_IN_FORM}` : pair;
      })
      .join("&");
  }

  #hasJsonKey(literal: string): boolean {
    const key: unknown = JSON.parse(Buffer.from(literal, "latin1").toString("utf8"));
    return typeof key === "string" && this.#has(key);
  }

  #has(name: string): boolean {
    return this.#names.has(name.toLowerCase());
  }
}

const SPACE = /[ \t\r\n]*/y;
const SCALAR = /[^,}\]\s]*/y;

/** Where the value of a key begins; undefined when there is no colon: the string was no key. */
function startOfValue(text: string, endOfKey: number): number | undefined {
  const colon = skip(SPACE, text, endOfKey);
  return text[colon] === ":" ? skip(SPACE, text, colon + 1) : undefined;
}

/** Where a value of valid JSON ends. */
function endOfValue(text: string, start: number): number {
  const first = text[start];
  if (first === '"') return endOfString(text, start);
  if (first !== "{" && first !== "[") return skip(SCALAR, text, start);
  let depth = 0;
  for (let i = start; i < text.length; i++) {
    const char = text[i];
    if (char === '"') i = endOfString(text, i) - 1;
    else if (char === "{" || char === "[") depth += 1;
    else if (char === "}" || char === "]") {
      depth -= 1;
      if (depth === 0) return i + 1;
    }
  }
  return text.length;
}

/** Behind the closing quote. */
function endOfString(text: string, start: number): number {
  for (let i = start + 1; i < text.length; i++) {
    if (text[i] === "\\") i += 1;
    else if (text[i] === '"') return i + 1;
  }
  return text.length;
}

function skip(pattern: RegExp, text: string, from: number): number {
  pattern.lastIndex = from;
  pattern.test(text);
  return pattern.lastIndex;
}

function isForm(type: string): boolean {
  return type.startsWith("application/x-www-form-urlencoded");
}

function isJsonType(type: string): boolean {
  return /^[^;]*[/+]json\b/.test(type) || /^[^;]*json/.test(type);
}

function looksLikeJson(body: Buffer): boolean {
  for (const byte of body.subarray(0, 1_024)) {
    if (byte === 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d) continue;
    return byte === 0x7b || byte === 0x5b;
  }
  return false;
}

function decodeName(name: string): string {
  try {
    return decodeURIComponent(name.replaceAll("+", " "));
  } catch {
    return name;
  }
}
