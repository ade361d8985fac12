import type { PortableRequest } from "./portable-request.ts";

/** Bytes of a body that still stand in the text. */
const INLINE_BYTES_MAX = 65_536;
const METHODS_WITHOUT_BODY = new Set(["GET", "HEAD"]);

/** Writes a call of `fetch` that sends the request again, for Node and for a browser's console. */
export function asFetch(request: PortableRequest): string {
  const { method, url, fields, body, bodySource } = request;
  const headers: string[] = [];
  for (let i = 0; i < fields.length; i += 2) {
    headers.push(`    [${quote(fields[i] ?? "")}, ${quote(fields[i + 1] ?? "")}],`);
  }
  const options = [`  method: ${quote(method)},`];
  if (headers.length > 0) options.push("  headers: [", ...headers, "  ],");
  const comments: string[] = [];
  if (body === undefined || body.length > 0) {
    if (METHODS_WITHOUT_BODY.has(method)) comments.push(`// fetch sends no body with ${method}; this request had one.`);
    else options.push(`  body: ${bodyExpression(body, bodySource.url)},`);
    if (body === undefined) comments.push("// The body is not stored.");
  }
  // A redirect is an answer too.
  options.push('  redirect: "manual",');
  return [...comments, `const response = await fetch(${quote(urlText(url))}, {`, ...options, "});"].join("\n");
}

function bodyExpression(body: Buffer | undefined, source: string | undefined): string {
  if (body === undefined || (body.length > INLINE_BYTES_MAX && source !== undefined)) {
    return source === undefined ? "null" : `await (await fetch(${quote(source)})).arrayBuffer()`;
  }
  const text = body.toString("utf8");
  if (Buffer.from(text, "utf8").equals(body)) return quote(text);
  return `Uint8Array.from(atob(${quote(body.toString("base64"))}), (character) => character.charCodeAt(0))`;
}

/** Bytes above 0x7F would be read as characters and encoded anew. */
function urlText(url: string): string {
  return url.replace(/[\x80-\xff]/g, (byte) => `%${byte.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** A string literal; line separators and what a reader does not see are escaped. */
function quote(text: string): string {
  return JSON.stringify(text).replace(
    /[\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
