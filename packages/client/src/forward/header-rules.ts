import type { HeaderList } from "@ggrok/protocol";
import { configError } from "../config/values.ts";

/** Fields to take away, then fields to add, in one direction. */
export interface HeaderRules {
  /** Names in lower case. */
  readonly remove: ReadonlySet<string>;
  readonly add: HeaderList;
}

const NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** Fields that say how a message is framed or which hop it is on: changing them would break the exchange itself. */
const FRAMING = new Set([
  "connection",
  "content-length",
  "expect",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/**
 * Reads the values of `--request-header-add` (`Name: value`) and `--request-header-remove` (`Name`), or of those for
 * responses. Undefined when there are none.
 */
export function parseHeaderRules(add: readonly string[], remove: readonly string[]): HeaderRules | undefined {
  if (add.length === 0 && remove.length === 0) return undefined;
  return {
    remove: new Set(remove.map((name) => checkName(name.trim()).toLowerCase())),
    add: add.flatMap((line) => {
      const colon = line.indexOf(":");
      if (colon === -1) throw configError(`"${line}" is no header field: write "Name: value"`);
      const value = line.slice(colon + 1).trim();
      if (/[^\t\x20-\x7e\x80-\xff]/.test(value)) throw configError(`"${line}" has characters that no field has`);
      return [checkName(line.slice(0, colon).trim()), value];
    }),
  };
}

/** The fields after the rules; the same list when there are none. */
export function applyHeaderRules(fields: HeaderList, rules: HeaderRules | undefined): HeaderList {
  if (rules === undefined) return fields;
  const kept: string[] = [];
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i] ?? "";
    if (!rules.remove.has(name.toLowerCase())) kept.push(name, fields[i + 1] ?? "");
  }
  kept.push(...rules.add);
  return kept;
}

function checkName(name: string): string {
  if (!NAME.test(name)) throw configError(`"${name}" is not a field's name`);
  const lower = name.toLowerCase();
  if (lower === "host") throw configError("Host is set with --host-header");
  if (FRAMING.has(lower)) throw configError(`${name} belongs to the connection and cannot be changed`);
  return name;
}
