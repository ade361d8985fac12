/**
 * A test for names: `*` stands for characters of one label. A glob without a dot is compared with bare names, one with
 * a dot with whole hosts.
 */
export function compileNameGlob(glob: string): (text: string) => boolean {
  const pattern = new RegExp(`^${glob.toLowerCase().split(/\*+/u).map(escapeRegExp).join("[^.]*")}$`, "u");
  return (text) => pattern.test(text);
}

/** A test for path prefixes: `*` stays in one segment, `**` does not, and a closing `/**` covers the folder itself too. */
export function compilePathGlob(glob: string): (path: string) => boolean {
  const isTree = glob.endsWith("/**");
  const parts = (isTree ? glob.slice(0, -3) : glob).split(/(\*+)/u).map((part) => {
    if (!part.startsWith("*")) return escapeRegExp(part);
    return part.length > 1 ? ".*" : "[^/]*";
  });
  const pattern = new RegExp(`^${parts.join("")}${isTree ? "(?:/.*)?" : ""}$`, "u");
  return (path) => pattern.test(path);
}

function escapeRegExp(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/gu, (character) => `\\u{${character.charCodeAt(0).toString(16)}}`);
}
