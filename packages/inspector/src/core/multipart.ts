import { parseMediaType } from "./media-type.ts";

/** One part of a multipart body. */
export interface Part {
  /** Of its Content-Disposition; empty when it has none. */
  readonly name: string;
  readonly filename: string | undefined;
  readonly contentType: string | undefined;
  readonly bytes: Uint8Array;
}

const CR = 13;
const LF = 10;
/** A part's head; more than this is no head. */
const HEAD_BYTES_MAX = 16_384;

/**
 * Takes a multipart body apart (RFC 2046 section 5.1); preamble and epilogue are left out, a body that ends early gives
 * what there is.
 */
export function parseMultipart(body: Uint8Array, boundary: string): Part[] {
  const delimiter = new TextEncoder().encode(`--${boundary}`);
  const marks = findDelimiters(body, delimiter);
  const parts: Part[] = [];
  for (const [i, mark] of marks.entries()) {
    if (isClosing(body, mark + delimiter.length)) break;
    const start = afterLine(body, mark + delimiter.length);
    const next = marks[i + 1];
    // The line break before a delimiter belongs to it.
    const end = next === undefined ? body.length : lineBreakBefore(body, next);
    if (start <= end) parts.push(parsePart(body.subarray(start, end)));
  }
  return parts;
}

function parsePart(bytes: Uint8Array): Part {
  const { head, body } = splitHead(bytes);
  const field = (name: string): string | undefined =>
    new RegExp(`^${name}[ \\t]*:[ \\t]*(.*)$`, "im").exec(head)?.[1]?.trim();
  const { parameters } = parseMediaType(field("content-disposition"));
  return {
    name: parameters.get("name") ?? "",
    filename: parameters.get("filename"),
    contentType: field("content-type"),
    bytes: body,
  };
}

function splitHead(bytes: Uint8Array): { head: string; body: Uint8Array } {
  const limit = Math.min(bytes.length, HEAD_BYTES_MAX);
  let lineStart = 0;
  for (let i = 0; i < limit; i += 1) {
    if (bytes[i] !== LF) continue;
    const isEmpty = i === lineStart || (i === lineStart + 1 && bytes[lineStart] === CR);
    if (isEmpty) {
      const head = new TextDecoder().decode(bytes.subarray(0, lineStart)).replaceAll("\r\n", "\n");
      return { head, body: bytes.subarray(i + 1) };
    }
    lineStart = i + 1;
  }
  return { head: "", body: bytes };
}

/** Where delimiters begin: only at the start of a line. */
function findDelimiters(body: Uint8Array, delimiter: Uint8Array): number[] {
  const found: number[] = [];
  for (let i = 0; i + delimiter.length <= body.length; i += 1) {
    if ((i === 0 || body[i - 1] === LF) && delimiter.every((byte, at) => body[i + at] === byte)) found.push(i);
  }
  return found;
}

function isClosing(body: Uint8Array, at: number): boolean {
  return body[at] === 0x2d && body[at + 1] === 0x2d;
}

function afterLine(body: Uint8Array, from: number): number {
  const at = body.indexOf(LF, from);
  return at === -1 ? body.length : at + 1;
}

function lineBreakBefore(body: Uint8Array, at: number): number {
  return body[at - 2] === CR ? at - 2 : at - 1;
}
