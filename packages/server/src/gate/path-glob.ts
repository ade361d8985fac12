/** Escapes that an app may read as a path's own signs: `/`, `\`, `.`, `%` and NUL. */
const TRICKY_ESCAPE = /%(?:2[ef5]|5c|00)/iu;
const DOTS = /^\.{1,2}(?:;|$)/u;

/** A longer path is not open: matching costs its length times that of all globs, and both are chosen by strangers. */
const MAX_PATH = 2_048;

/** Characters of one segment, and any at all; what is not a wildcard is the code of a character. */
const WITHIN = -1;
const ANY = -2;
const SLASH = 0x2f;

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
    return path.length <= MAX_PATH && isPlain(path) && patterns.some((pattern) => matches(pattern, path));
  };
}

function patternOf(glob: string): number[] {
  const parts = glob.match(/\*+|[^*]/gsu) ?? [];
  return parts.flatMap((part) => {
    if (part.startsWith("*")) return part.length > 1 ? ANY : WITHIN;
    return Array.from({ length: part.length }, (_, index) => part.charCodeAt(index));
  });
}

/** No regular expression: with several wildcards one can be made to try for hours, and it would stop the whole relay. */
function matches(pattern: readonly number[], path: string): boolean {
  // Whether so much of the pattern matches the path as far as it has been read.
  const reached = new Uint8Array(pattern.length + 1);
  reached[0] = 1;
  for (const [index, sign] of pattern.entries()) reached[index + 1] = sign < 0 ? (reached[index] ?? 0) : 0;
  for (let at = 0; at < path.length; at += 1) {
    const code = path.charCodeAt(at);
    let before = reached[0] ?? 0;
    reached[0] = 0;
    for (let index = 0; index < pattern.length; index += 1) {
      const sign = pattern[index] ?? 0;
      const here = reached[index + 1] ?? 0;
      if (sign >= 0) reached[index + 1] = sign === code ? before : 0;
      else if (sign === ANY || code !== SLASH) reached[index + 1] = (reached[index] ?? 0) | here;
      else reached[index + 1] = reached[index] ?? 0;
      before = here;
    }
  }
  return reached[pattern.length] === 1;
}

function isPlain(path: string): boolean {
  if (path.includes("\\") || path.includes("//") || TRICKY_ESCAPE.test(path)) return false;
  return !path.split("/").some((segment) => DOTS.test(segment));
}
