/** What one front end wrote into `Forwarded` (RFC 7239 4). */
export interface ForwardedElement {
  /** As it was written. */
  readonly text: string;
  readonly for: string | undefined;
  readonly proto: string | undefined;
  readonly host: string | undefined;
}

/** One pair with what separates it from the next. Unquoted addresses with colons and brackets are common, though not allowed. */
const PAIR = /[\t ]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)=(?:"((?:[^"\\]|\\.)*)"|([^\t ",;\\]+))[\t ]*(?:;|$)/uy;

/**
 * Reads a list of `Forwarded` from its near end, as far as it is asked for. What stands left of the elements that are read was
 * written by somebody else: a quote left open there, or any other nonsense, does not change how these are read.
 *
 * @returns the elements, the nearest first; undefined in place of the first that is none, which is the last one given
 */
export function* elementsFromRight(list: string): Generator<ForwardedElement | undefined, void> {
  let end = list.length;
  while (end >= 0) {
    const comma = commaBefore(list, end);
    const element = readElement(list.slice(comma + 1, end).trim());
    yield element;
    if (element === undefined) return;
    end = comma;
  }
}

/** The last comma before `end` that is not inside quotes, as quotes are counted from there; -1 when there is none. */
function commaBefore(list: string, end: number): number {
  let isQuoted = false;
  for (let i = end - 1; i >= 0; i -= 1) {
    if (list[i] === '"' && !isEscaped(list, i)) isQuoted = !isQuoted;
    else if (list[i] === "," && !isQuoted) return i;
  }
  return -1;
}

function isEscaped(text: string, index: number): boolean {
  let first = index;
  while (text[first - 1] === "\\") first -= 1;
  return (index - first) % 2 === 1;
}

function readElement(text: string): ForwardedElement | undefined {
  const said = new Map<string, string>();
  let at = 0;
  while (at < text.length) {
    PAIR.lastIndex = at;
    const match = PAIR.exec(text);
    const name = match?.[1]?.toLowerCase();
    // RFC 7239 4: no parameter twice. Which of the two counts would be anybody's guess.
    if (match === null || name === undefined || said.has(name)) return undefined;
    said.set(name, match[2]?.replace(/\\(.)/gu, "$1") ?? match[3] ?? "");
    at = PAIR.lastIndex;
  }
  return said.size === 0 ? undefined : { text, for: said.get("for"), proto: said.get("proto"), host: said.get("host") };
}
