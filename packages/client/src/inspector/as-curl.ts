import { getField, getFields } from "@ggrok/protocol";
import type { PortableRequest } from "./portable-request.ts";
import { quoteForShell } from "./shell-quote.ts";

/** Bytes of a body that still stand in the command: Linux takes 128 KiB for one word, and nobody reads as many. */
const INLINE_BYTES_MAX = 65_536;
/** Fields curl sends of its own accord when it is not told otherwise. */
const OWN_FIELDS = ["User-Agent", "Accept"];

/**
 * Writes a curl command that sends the same method, path, fields and body again. A body that a shell cannot carry comes from
 * the local API, or from a file.
 */
export function asCurl(request: PortableRequest): string {
  const { method, url, bareTarget, fields, body, bodySource } = request;
  const hasBody = body === undefined || body.length > 0;
  const isEmptyForm = !hasBody && ["POST", "PUT", "PATCH"].includes(method);
  const lines = [
    `curl ${[...flagsOf(url), ...methodFlags(method, hasBody || isEmptyForm)].join(" ")}${quoteForShell(url)}`,
  ];
  // curl encodes what is above 0x7F in a URL, and sends a target as it is.
  const exact = bareTarget ?? (/[\x80-\xff]/.test(url) ? url.slice(new URL(url).origin.length) : undefined);
  if (exact !== undefined) lines.push(`--request-target ${quoteForShell(exact)}`);
  for (const name of OWN_FIELDS) {
    if (getField(fields, name.toLowerCase()) === undefined) lines.push(`-H '${name}:'`);
  }
  for (let i = 0; i < fields.length; i += 2) {
    const value = fields[i + 1] ?? "";
    // An empty value would take the field away; the semicolon keeps it.
    lines.push(`-H ${quoteForShell(value.trim() === "" ? `${fields[i]};` : `${fields[i]}: ${value}`)}`);
  }
  if (getFields(fields, "accept-encoding").length > 0) lines.push("--compressed");
  if (!hasBody && !isEmptyForm) return lines.join(" \\\n  ");
  if (getField(fields, "content-type") === undefined) lines.push("-H 'Content-Type:'");
  // curl would wait for a 100 that few apps send.
  if (hasBody) lines.push("-H 'Expect:'");
  if (isEmptyForm) lines.push("--data-raw ''");
  else if (body !== undefined && isInline(body)) lines.push(`--data-raw ${quoteForShell(body.toString("latin1"))}`);
  else if (bodySource.url !== undefined) lines.push("--data-binary @-");
  else lines.push(`--data-binary ${quoteForShell(`@${bodySource.file}`)}`);
  const command = lines.join(" \\\n  ");
  return lines.includes("--data-binary @-")
    ? `curl -sS ${quoteForShell(bodySource.url ?? "")} | \\\n${command}`
    : command;
}

/** The path as it is, and what looks like a pattern in it is none. */
function flagsOf(url: string): string[] {
  return ["--path-as-is", ...(/[[\]{}]/.test(url) ? ["--globoff"] : [])];
}

function methodFlags(method: string, hasBody: boolean): string[] {
  if (method === "HEAD" && !hasBody) return ["--head", ""];
  return method === (hasBody ? "POST" : "GET") ? [""] : ["-X", quoteForShell(method), ""];
}

function isInline(body: Buffer): boolean {
  return body.length <= INLINE_BYTES_MAX && !body.includes(0);
}
