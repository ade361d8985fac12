/** Escapes that an app may read as a path's own signs: `/`, `\`, `.`, `%` and NUL. */
const TRICKY_ESCAPE = /%(?:2[ef5]|5c|00)/iu;
const DOTS = /^\.{1,2}(?:;|$)/u;

/**
 * Tells whether a request target's path matches one of the globs: `*` stands for any characters of one segment, `**` for any
 * at all. A path that an app could read as another one (dot segments, doubled slashes, escaped slashes) matches nothing:
 * what a glob opens must be what the app then serves.
 */
export function createPathTest(globs: readonly string[]): (target: string) => boolean {
  const patterns = globs.map(patternOf);
  return (target) => {
    const end = target.search(/[?#]/u);
    const path = end < 0 ? target : target.slice(0, end);
    return isPlain(path) && patterns.some((pattern) => pattern.test(path));
  };
}

function patternOf(glob: string): RegExp {
  const source = glob
    .replace(/[.+?^${}()|[\]\\]/gu, "\\$&")
    .replace(/\*{2,}/gu, "\u0000")
    .replaceAll("*", "[^/]*")
    .replaceAll("\u0000", ".*");
  return new RegExp(`^${source}$`, "su");
}

function isPlain(path: string): boolean {
  if (path.includes("\\") || path.includes("//") || TRICKY_ESCAPE.test(path)) return false;
  return !path.split("/").some((segment) => DOTS.test(segment));
}
