import { createHash } from "node:crypto";
import { getField } from "@ggrok/protocol";
import { hmac, isDigest } from "./digest.ts";
import { invalid, MISMATCH, type Scheme, type SignedMessage, VALID } from "./signed-message.ts";

const DEFAULT_PORTS: Readonly<Record<string, string>> = { "https:": "443", "http:": "80" };

/**
 * Twilio: `X-Twilio-Signature: BASE64`, HMAC-SHA1 over the address as Twilio has it, and the sorted parameters of a form; any
 * other body is named in the address by `bodySHA256`. There is no timestamp.
 */
export const twilio: Scheme = {
  signatureFields: ["x-twilio-signature"],
  verify(message, secret) {
    const signature = getField(message.fields, "x-twilio-signature")?.trim() ?? "";
    const sum = bodySum(message);
    if (sum !== undefined && !isDigest(sum, createHash("sha256").update(message.body).digest(), "hex"))
      return invalid("the body is not the one that bodySHA256 in the address names");
    const tail = sum === undefined ? formTail(message) : "";
    const isMatch = message.urls
      .flatMap(spellings)
      .some((url) => isDigest(signature, hmac("sha1", secret, url, tail), "base64"));
    if (isMatch) return VALID;
    return { ...MISMATCH, reason: `${MISMATCH.reason}, or Twilio has another address than ${message.urls[0] ?? ""}` };
  },
  sign(message, secret) {
    const tail = bodySum(message) === undefined ? formTail(message) : "";
    return [["X-Twilio-Signature", hmac("sha1", secret, message.urls[0] ?? "", tail).toString("base64")]];
  },
};

function bodySum({ urls }: SignedMessage): string | undefined {
  return /[?&]bodySHA256=([0-9a-fA-F]*)/.exec(urls[0] ?? "")?.[1];
}

/** Names and values of a form, sorted by name; a name that is there several times has each of its values once, sorted. */
function formTail({ fields, body }: SignedMessage): string {
  const type = getField(fields, "content-type") ?? "";
  if (body.length === 0 || !/^\s*application\/x-www-form-urlencoded\b/i.test(type)) return "";
  const values = new Map<string, Set<string>>();
  for (const [name, value] of new URLSearchParams(body.toString("utf8"))) {
    const list = values.get(name) ?? new Set();
    values.set(name, list.add(value));
  }
  return [...values.keys()]
    .sort()
    .flatMap((name) => [...(values.get(name) ?? [])].sort().map((value) => name + value))
    .join("");
}

/** Twilio signs some addresses with the port and some without, whatever was written in its console. */
function spellings(url: string): string[] {
  const match = /^(https?:)\/\/(\[[^\]]*\]|[^/:?#]+)(?::(\d+))?(.*)$/s.exec(url);
  if (match === null) return [url];
  const [, scheme = "", host = "", port, rest = ""] = match;
  const other = port === undefined ? `:${DEFAULT_PORTS[scheme] ?? ""}` : "";
  return [url, `${scheme}//${host}${other}${rest}`];
}
