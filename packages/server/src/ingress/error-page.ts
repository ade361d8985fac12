import type { IncomingMessage, ServerResponse } from "node:http";
import { STATUS_CODES } from "node:http";
import { ERRORS, type ErrorCode } from "@ggrok/protocol";

/** What an answer of the relay's own says besides its code. */
export interface ErrorAnswerOptions {
  requestId: string;
  /** Seconds for `Retry-After`; a few unless given where the status asks for it. */
  retryAfterS?: number;
  /** A further sentence for people; it is escaped. */
  detail?: string;
  /** Value of `WWW-Authenticate` where the status is 401; agents' tokens are asked for unless given. */
  challenge?: string;
  /** Close the connection behind the answer. */
  close?: boolean;
}

/** An answer before it is written. */
export interface ErrorAnswer {
  status: number;
  reason: string;
  fields: string[];
  body: Buffer;
}

/** An agent that lost its relay is back within a few seconds, or not soon. */
const RETRY_AFTER_S = 5;

type PageFormat = "html" | "json" | "text";

const CONTENT_TYPES: Readonly<Record<PageFormat, string>> = {
  html: "text/html; charset=utf-8",
  json: "application/json; charset=utf-8",
  text: "text/plain; charset=utf-8",
};

/** Makes the relay's own answer for a code, in the form the visitor's `Accept` prefers. */
export function makeErrorAnswer(code: ErrorCode, accept: string | undefined, o: ErrorAnswerOptions): ErrorAnswer {
  const row = ERRORS[code];
  const { status } = row;
  const format = preferredFormat(accept);
  const body = Buffer.from(RENDER[format]({ code, status, message: row.message, nextStep: row.nextStep, ...o }));
  const fields = ["Content-Type", CONTENT_TYPES[format], "Content-Length", String(body.length)];
  fields.push("Cache-Control", "no-store", "ggrok-error", code, "x-request-id", o.requestId);
  fields.push("X-Content-Type-Options", "nosniff", "Vary", "Accept");
  const retryAfterS = o.retryAfterS ?? (status === 503 || status === 429 ? RETRY_AFTER_S : undefined);
  if (retryAfterS !== undefined) fields.push("Retry-After", String(retryAfterS));
  if (status === 401) fields.push("WWW-Authenticate", o.challenge ?? "Bearer");
  if (status === 407) fields.push("Proxy-Authenticate", "Basic");
  return { status, reason: STATUS_CODES[status] ?? "Error", fields, body };
}

/** Answers a request with the relay's own page. The response must not have a head yet. */
export function sendError(req: IncomingMessage, res: ServerResponse, code: ErrorCode, o: ErrorAnswerOptions): void {
  const answer = makeErrorAnswer(code, req.headers.accept, o);
  if (o.close === true) res.shouldKeepAlive = false;
  res.writeHead(answer.status, answer.reason, answer.fields);
  // Node leaves the body out where the method or the status has none.
  res.end(answer.body);
}

/** The same for a socket without a response object; the connection closes behind it. */
export function errorAnswerBytes(code: ErrorCode, accept: string | undefined, o: ErrorAnswerOptions): Buffer {
  const answer = makeErrorAnswer(code, accept, o);
  let head = `HTTP/1.1 ${answer.status} ${answer.reason}\r\n`;
  for (let i = 0; i + 1 < answer.fields.length; i += 2) head += `${answer.fields[i]}: ${answer.fields[i + 1]}\r\n`;
  return Buffer.concat([Buffer.from(`${head}Connection: close\r\n\r\n`, "latin1"), answer.body]);
}

/** HTML for browsers, JSON for programs that ask for it, text for everybody else. */
export function preferredFormat(accept: string | undefined): PageFormat {
  if (accept === undefined || accept.length > 1_024) return "text";
  let best: PageFormat = "text";
  let bestQuality = 0;
  for (const part of accept.toLowerCase().split(",")) {
    const [range = "", ...parameters] = part.split(";").map((piece) => piece.trim());
    const format = formatOf(range);
    if (format === undefined) continue;
    const q = parameters.find((parameter) => parameter.startsWith("q="));
    const quality = q === undefined ? 1 : Number(q.slice(2)) || 0;
    if (quality <= bestQuality) continue;
    best = format;
    bestQuality = quality;
  }
  return best;
}

function formatOf(range: string): PageFormat | undefined {
  if (range === "text/html" || range === "application/xhtml+xml") return "html";
  if (range === "application/json" || range.endsWith("+json")) return "json";
  return range === "text/plain" ? "text" : undefined;
}

interface Page extends ErrorAnswerOptions {
  code: ErrorCode;
  status: number;
  message: string;
  nextStep: string;
}

const RENDER: Readonly<Record<PageFormat, (page: Page) => string>> = {
  json: (page) => {
    const { code, message, nextStep, requestId, detail } = page;
    return `${JSON.stringify({ error: { code, message, ...(detail !== undefined && { detail }), nextStep, requestId } })}\n`;
  },
  text: (page) => {
    const lines = [`${page.code}: ${page.message}`, ...(page.detail === undefined ? [] : [page.detail]), page.nextStep];
    return `${lines.join("\n")}\n\nRequest id: ${page.requestId}\n`;
  },
  html: (page) => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>${page.status} ${escapeHtml(page.message)}</title>
<style>
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 40rem; margin: 15vh auto; padding: 0 1.5rem; }
h1 { font-size: 1.4rem; }
code { font-size: 0.9rem; overflow-wrap: anywhere; }
footer { margin-top: 3rem; opacity: 0.7; }
</style>
</head>
<body>
<h1>${escapeHtml(page.message)}</h1>
${page.detail === undefined ? "" : `<p>${escapeHtml(page.detail)}</p>\n`}<p>${escapeHtml(page.nextStep)}</p>
<footer><code>${page.status} ${page.code}</code><br><code>${escapeHtml(page.requestId)}</code></footer>
</body>
</html>
`,
};

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/gu, (character) => ENTITIES[character] ?? character);
}
