import { getField } from "@ggrok/protocol";
import type { PortableRequest } from "./portable-request.ts";
import { quoteForShell } from "./shell-quote.ts";

/** Bytes of a body that still stand in the command. */
const INLINE_BYTES_MAX = 65_536;
/** Fields HTTPie sends of its own accord when it is not told otherwise. */
const OWN_FIELDS = ["User-Agent", "Accept", "Accept-Encoding"];

/** Writes an HTTPie command that sends the request again. */
export function asHttpie(request: PortableRequest): string {
  const { method, url, fields, body, bodySource } = request;
  const hasBody = body === undefined || body.length > 0;
  const items: string[] = [];
  for (const name of [...OWN_FIELDS, ...(hasBody ? ["Content-Type"] : [])]) {
    if (getField(fields, name.toLowerCase()) === undefined) items.push(`${name}:`);
  }
  for (let i = 0; i < fields.length; i += 2) items.push(fieldItem(fields[i] ?? "", fields[i + 1] ?? ""));
  const isInline = body !== undefined && body.length <= INLINE_BYTES_MAX && isText(body);
  const isPiped = hasBody && !isInline;
  const flags = ["--path-as-is", ...(isPiped ? [] : ["--ignore-stdin"])];
  const lines = [`http ${flags.join(" ")} ${quoteForShell(method)} ${quoteForShell(url)}`, ...items.map(quoteForShell)];
  if (hasBody && isInline) lines.push(`--raw ${quoteForShell(body.toString("latin1"))}`);
  const command = lines.join(" \\\n  ");
  if (!isPiped) return command;
  return bodySource.url === undefined
    ? `${command} < ${quoteForShell(bodySource.file)}`
    : `curl -sS ${quoteForShell(bodySource.url)} | \\\n${command}`;
}

/** `Name:value`; what stands next to the colon must not make another separator of it. */
function fieldItem(name: string, value: string): string {
  if (value.trim() === "") return `${name};`;
  return `${name}:${/^[=@]/.test(value) ? ` ${value}` : value}`;
}

/** HTTPie takes text alone on its command line. */
function isText(body: Buffer): boolean {
  return !body.includes(0) && Buffer.from(body.toString("utf8"), "utf8").equals(body);
}
