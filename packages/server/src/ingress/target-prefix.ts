/**
 * Takes a path prefix off a target: `/alice/x?y` under `/alice` becomes `/x?y`, `/alice` becomes `/`. A target that is
 * not under the prefix stays as it is.
 */
export function stripPrefix(target: string, prefix: string): string {
  if (!target.startsWith(prefix)) return target;
  const rest = target.slice(prefix.length);
  if (rest.startsWith("/")) return rest;
  if (rest === "" || rest.startsWith("?")) return `/${rest}`;
  return target;
}
