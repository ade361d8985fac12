/** A number that JavaScript cannot hold exactly, as it was written. */
export class ExactNumber {
  readonly source: string;

  constructor(source: string) {
    this.source = source;
  }
}

/** So many digits a number has at least that is rounded. Where no such run is, there is nothing to keep. */
const LONG_NUMBER = /[\d.]{16}/;

type Reviver = (this: unknown, key: string, value: unknown, context?: { readonly source?: string }) => unknown;

/** Parses JSON without rounding: 64-bit ids stay what they are where the browser tells the source of a number. */
export function parseExact(text: string): unknown {
  // A reviver takes twenty times as long.
  if (!LONG_NUMBER.test(text)) return JSON.parse(text);
  const keep: Reviver = (_key, value, context) =>
    typeof value === "number" && context?.source !== undefined && isRounded(value, context.source)
      ? new ExactNumber(context.source)
      : value;
  return JSON.parse(text, keep);
}

/** One value inside another. */
export interface JsonEntry {
  readonly key: string;
  readonly value: unknown;
}

/** What is inside an object or an array; undefined for what has no inside. */
export function entriesOf(value: unknown): JsonEntry[] | undefined {
  if (Array.isArray(value)) return value.map((item, i) => ({ key: String(i), value: item as unknown }));
  if (typeof value !== "object" || value === null || value instanceof ExactNumber) return undefined;
  return Object.entries(value).map(([key, item]) => ({ key, value: item as unknown }));
}

/** A value without inside, as JSON has it. */
export function formatScalar(value: unknown): string {
  return value instanceof ExactNumber ? value.source : JSON.stringify(value);
}

/** How a closed object or array is summed up. */
export function describeInside(value: unknown): string {
  const count = entriesOf(value)?.length ?? 0;
  const things = Array.isArray(value) ? (count === 1 ? "item" : "items") : count === 1 ? "key" : "keys";
  return Array.isArray(value) ? `[ ${count} ${things} ]` : `{ ${count} ${things} }`;
}

function isRounded(value: number, source: string): boolean {
  if (/^-?\d+$/.test(source)) return !Number.isSafeInteger(value);
  // 17 digits are more than a double keeps; `1.0` and `1e3` are only other spellings.
  return source.replace(/[-.]|e.*$/gi, "").replace(/^0+/, "").length > 15;
}
