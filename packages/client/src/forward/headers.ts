import type { HeaderList } from "@ggrok/protocol";

const NONE: HeaderList = [];

/** undici's raw fields as text, each byte one code point, so that what the app wrote comes out as it was. */
export function textFields(raw: unknown): HeaderList {
  if (!Array.isArray(raw) || raw.length === 0) return NONE;
  const fields = new Array<string>(raw.length);
  for (let i = 0; i < raw.length; i++) {
    const part: unknown = raw[i];
    fields[i] = Buffer.isBuffer(part) ? part.toString("latin1") : String(part);
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
