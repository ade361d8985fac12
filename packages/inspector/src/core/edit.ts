import type { HeaderPairs } from "./exchange.ts";
import { toFields } from "./header-list.ts";
import { toBase64 } from "./text.ts";

/** What stands in the editor. */
export interface Draft {
  readonly method: string;
  readonly target: string;
  /** One field a line. */
  readonly head: string;
  /** Undefined: the body is sent as it was. */
  readonly body: Uint8Array | undefined;
}

/** What the local API takes as `edit`: only what differs. */
export interface Edit {
  readonly method?: string;
  readonly target?: string;
  readonly header_list?: HeaderPairs;
  readonly body_base64?: string;
}

/** An edit, or a sentence that says what is wrong with it and where. */
export type EditResult =
  | { readonly edit: Edit }
  | { readonly problem: string; readonly field: "method" | "target" | "head" };

/** RFC 9110 section 5.6.2. */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** RFC 9110 section 5.5: visible characters, spaces, tabs, and bytes above ASCII. */
const FIELD_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

/** Writes a head as lines. */
function formatHead(pairs: HeaderPairs): string {
  return toFields(pairs)
    .map(({ name, value }) => `${name}: ${value}`)
    .join("\n");
}

/** Reads what was edited against what it was made from. */
export function toEdit(original: { method: string; uri: string; header_list: HeaderPairs }, draft: Draft): EditResult {
  if (!TOKEN.test(draft.method)) return { problem: "A method is one word of letters.", field: "method" };
  if (!/^(?:\/[\x21-\x7e]*|\*|https?:\/\/[\x21-\x7e]+)$/.test(draft.target)) {
    return { problem: "A path begins with / and has no spaces.", field: "target" };
  }
  const pairs: string[] = [];
  for (const [i, line] of draft.head.split("\n").entries()) {
    if (line.trim() === "") continue;
    const at = line.indexOf(":");
    const name = line.slice(0, Math.max(0, at)).trim();
    const value = line.slice(at + 1).trim();
    if (at === -1 || !TOKEN.test(name)) return { problem: `Line ${i + 1} is no header: Name: value`, field: "head" };
    if (!FIELD_VALUE.test(value)) {
      return { problem: `Line ${i + 1} has a character that no header can carry.`, field: "head" };
    }
    pairs.push(name, value);
  }
  const isSameHead = formatHead(pairs) === formatHead(original.header_list);
  return {
    edit: {
      ...(draft.method !== original.method && { method: draft.method }),
      ...(draft.target !== original.uri && { target: draft.target }),
      ...(!isSameHead && { header_list: pairs }),
      ...(draft.body !== undefined && { body_base64: toBase64(draft.body) }),
    },
  };
}

/** A head without the fields of these names. */
export function withoutFields(pairs: HeaderPairs, names: readonly string[]): HeaderPairs {
  return toFields(pairs)
    .filter(({ name }) => !names.includes(name.toLowerCase()))
    .flatMap(({ name, value }) => [name, value]);
}
