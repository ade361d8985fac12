import type { HeaderList } from "@ggrok/protocol";

const NONE: HeaderList = [];

/** Longest stretch that is decoded at once, in bytes: more than the fields of a head undici takes. */
const STRETCH_BYTES_MAX = 131_072;

/** undici's raw fields as text, each byte one code point, so that what the app wrote comes out as it was. */
export function textFields(raw: unknown): HeaderList {
  if (!Array.isArray(raw) || raw.length === 0) return NONE;
  return cutFields(raw) ?? raw.map((part) => (Buffer.isBuffer(part) ? part.toString("latin1") : String(part)));
}

/** The fields of a head are views of the bytes it came in: these are decoded at once and cut. Undefined for any others. */
function cutFields(raw: readonly unknown[]): string[] | undefined {
  const first = raw[0];
  const last = raw.at(-1);
  if (!Buffer.isBuffer(first) || !Buffer.isBuffer(last) || first.buffer !== last.buffer) return undefined;
  const { buffer, byteOffset: start } = first;
  const bytes = last.byteOffset + last.length - start;
  if (bytes < 0 || bytes > STRETCH_BYTES_MAX) return undefined;
  const text = Buffer.from(buffer, start, bytes).toString("latin1");
  const fields = new Array<string>(raw.length);
  for (let i = 0; i < raw.length; i++) {
    // No more than a look at where it is: asking each one for its class takes as long as decoding it.
    const part = raw[i] as Buffer;
    if (part.buffer !== buffer) return undefined;
    const at = part.byteOffset - start;
    if (at < 0 || at + part.length > bytes) return undefined;
    fields[i] = text.slice(at, at + part.length);
  }
  return fields;
}

/**
 * undici reads the reason phrase as UTF-8: this gives its bytes back as latin1. Bytes that were no UTF-8 are lost, and the
 * phrase with them; its meaning is the status's (RFC 9112 4).
 */
export function reasonOfUtf8(reason: string): string {
  if (!/[^\x20-\x7e]/.test(reason)) return reason;
  return reason.includes("\ufffd") ? "" : Buffer.from(reason, "utf8").toString("latin1");
}
