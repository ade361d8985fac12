import { diffLines } from "diff";
import microdiff from "microdiff";
import type { HeaderPairs } from "./exchange.ts";
import { toFields } from "./header-list.ts";
import { ExactNumber, formatScalar, parseExact } from "./json-value.ts";

/** What became of a thing. */
export type Change = "same" | "added" | "removed" | "changed";

/** One field of the two heads. */
export interface FieldDiff {
  readonly name: string;
  readonly change: Change;
  readonly before: string | undefined;
  readonly after: string | undefined;
}

/** One place in the two JSON values. */
export interface JsonDiff {
  readonly path: string;
  readonly change: Change;
  readonly before: string | undefined;
  readonly after: string | undefined;
}

/** One line of the two texts; `skipped`: so many lines that are the same. */
export interface LineDiff {
  readonly change: Change | "skipped";
  readonly text: string;
}

/** Fields that differ between any two answers; they say nothing about the app. */
const UNSTABLE_FIELDS = new Set(["date", "age"]);
/** Lines shown around a change. */
const CONTEXT_LINES = 3;
/** Characters of two texts together above which lines are not compared: it takes too long. */
const TEXT_CHARS_MAX = 2_000_000;
/** How long a comparison of texts may keep the page busy. */
const TEXT_TIMEOUT_MS = 1_000;

/** Compares two heads by name, without the date. */
export function diffFields(before: HeaderPairs, after: HeaderPairs): FieldDiff[] {
  const [old, now] = [byName(before), byName(after)];
  return [...new Set([...old.keys(), ...now.keys()])]
    .filter((name) => !UNSTABLE_FIELDS.has(name))
    .map((name) => {
      const [a, b] = [old.get(name), now.get(name)];
      return { name, change: changeOf(a, b), before: a, after: b };
    });
}

/** Compares two JSON texts; undefined: one of them is none. */
export function diffJson(before: string, after: string): JsonDiff[] | undefined {
  let pair: [unknown, unknown];
  try {
    pair = [parseExact(before), parseExact(after)];
  } catch {
    return undefined;
  }
  // Inside one array, so that two scalars can be compared too.
  return microdiff([plain(pair[0])], [plain(pair[1])]).map((difference) => {
    const change = ({ CREATE: "added", REMOVE: "removed", CHANGE: "changed" } as const)[difference.type];
    return {
      path: formatPath(difference.path.slice(1)),
      change,
      before: difference.type === "CREATE" ? undefined : show(difference.oldValue),
      after: difference.type === "REMOVE" ? undefined : show(difference.value),
    };
  });
}

/** Compares two texts line by line; long stretches without a change are folded. Undefined: they are too large for it. */
export function diffText(before: string, after: string): LineDiff[] | undefined {
  if (before.length + after.length > TEXT_CHARS_MAX) return undefined;
  const parts = diffLines(before, after, { timeout: TEXT_TIMEOUT_MS });
  if (parts === undefined) return undefined;
  return parts.flatMap((part, i) => {
    const lines = part.value.replace(/\n$/, "").split("\n");
    if (part.added || part.removed) {
      const change = part.added ? "added" : "removed";
      return lines.map((text) => ({ change, text }) as const);
    }
    return fold(lines, i === 0, i === parts.length - 1);
  });
}

/** A path as JavaScript would write it. */
function formatPath(path: readonly (string | number)[]): string {
  if (path.length === 0) return "(all)";
  return path
    .map((key) => {
      if (typeof key === "number") return `[${key}]`;
      return /^[A-Za-z_$][\w$]*$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`;
    })
    .join("")
    .replace(/^\./, "");
}

function fold(lines: readonly string[], isFirst: boolean, isLast: boolean): LineDiff[] {
  const head = isFirst ? 0 : CONTEXT_LINES;
  const tail = isLast ? 0 : CONTEXT_LINES;
  const same = (texts: readonly string[]): LineDiff[] => texts.map((text) => ({ change: "same", text }));
  const hidden = lines.length - head - tail;
  if (hidden < 2) return same(lines);
  return [
    ...same(lines.slice(0, head)),
    { change: "skipped", text: `${hidden} lines are the same` },
    ...same(lines.slice(lines.length - tail)),
  ];
}

function byName(pairs: HeaderPairs): Map<string, string> {
  const values = new Map<string, string>();
  for (const { name, value } of toFields(pairs)) {
    const key = name.toLowerCase();
    const other = values.get(key);
    values.set(key, other === undefined ? value : `${other}\n${value}`);
  }
  return values;
}

function changeOf(before: string | undefined, after: string | undefined): Change {
  if (before === after) return "same";
  if (before === undefined) return "added";
  return after === undefined ? "removed" : "changed";
}

/** Numbers that were kept as written are compared as such. */
function plain(value: unknown): unknown {
  if (value instanceof ExactNumber) return { [EXACT]: value.source };
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
}

const EXACT = "\u0000number";

function show(value: unknown): string {
  if (typeof value === "object" && value !== null && EXACT in value) return String(value[EXACT]);
  return typeof value === "object" && value !== null ? JSON.stringify(value) : formatScalar(value);
}
