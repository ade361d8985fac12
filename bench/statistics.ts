/** Middle value; `undefined` for an empty list. Medians, because one bad moment of a shared machine must not move a figure. */
export function median(values: readonly number[]): number | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle];
  const lower = sorted.length % 2 === 1 ? upper : sorted[middle - 1];
  return upper === undefined || lower === undefined ? undefined : (lower + upper) / 2;
}

/** (max - min) / median: how far the runs of one figure lie apart. */
export function spread(values: readonly number[]): number | undefined {
  const middle = median(values);
  return middle === undefined || middle === 0 ? undefined : (Math.max(...values) - Math.min(...values)) / middle;
}

/** Quotient, or `undefined` where one side was not measured. */
export function ratio(numerator: number | undefined, denominator: number | undefined): number | undefined {
  return numerator === undefined || denominator === undefined || denominator === 0
    ? undefined
    : numerator / denominator;
}

/** Sum, or `undefined` where one side was not measured. */
export function sum(...values: readonly (number | undefined)[]): number | undefined {
  let total = 0;
  for (const value of values) {
    if (value === undefined) return undefined;
    total += value;
  }
  return total;
}
