/** A step into JSON: a key, or the number of an element. */
type Step = string | number;

/**
 * Sets values in a JSON text, and leaves everything else of it as it is: white space, order, and numbers no double can hold.
 *
 * @param path `data.object.id`, `items[0].name`, or a JSON pointer (`/data/object/id`) for keys with dots
 * @throws Error with a sentence for the user
 */
export function setJsonValue(text: string, path: string, value: unknown): string {
  const root = parse(text);
  const steps = parsePath(path);
  let at = skipSpace(text, 0);
  let node = root;
  for (const [depth, step] of steps.entries()) {
    const isLast = depth === steps.length - 1;
    if (Array.isArray(node)) {
      const index = Number(step);
      if (!/^\d+$/.test(String(step)) || index > node.length || (index === node.length && !isLast))
        throw new Error(`"${path}": there is no element ${String(step)} in a list of ${node.length}`);
      if (index === node.length) return insert(text, at, JSON.stringify(value));
      at = elementAt(text, at, index);
      node = node[index] as unknown;
    } else if (typeof node === "object" && node !== null) {
      const key = String(step);
      if (!Object.hasOwn(node, key)) {
        if (!isLast) throw new Error(`"${path}": there is no "${key}"`);
        return insert(text, at, `${JSON.stringify(key)}:${JSON.stringify(value)}`);
      }
      at = valueOfKey(text, at, key);
      node = (node as Record<string, unknown>)[key];
    } else {
      throw new Error(`"${path}": "${String(step)}" lies below a value that is neither an object nor a list`);
    }
  }
  return text.slice(0, at) + JSON.stringify(value) + text.slice(endOfValue(text, at));
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new Error("the body is no JSON", { cause });
  }
}

function parsePath(path: string): Step[] {
  if (path.startsWith("/"))
    return path
      .slice(1)
      .split("/")
      .map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"));
  const steps = [...path.matchAll(/(?:^|\.)([^.[\]]+)|\[(\d+)\]/g)];
  if (path === "" || steps.map(([step]) => step).join("") !== path)
    throw new Error(`"${path}" is no path: write data.items[0].name or /data/items/0/name`);
  return steps.map(([, key, index]) => (index === undefined ? (key ?? "") : Number(index)));
}

/** Puts one more member behind the last one of the object or list that begins at `at`. */
function insert(text: string, at: number, member: string): string {
  const end = endOfValue(text, at) - 1;
  let last = end - 1;
  while (last > at && /\s/.test(text[last] ?? "")) last -= 1;
  return `${text.slice(0, last + 1)}${last === at ? "" : ","}${member}${text.slice(last + 1)}`;
}

function elementAt(text: string, start: number, index: number): number {
  let at = skipSpace(text, start + 1);
  for (let i = 0; i < index; i++) at = skipSpace(text, skipSpace(text, endOfValue(text, at)) + 1);
  return at;
}

/** Where the value of a key begins. Of a key that stands there twice the last one counts, as for JSON.parse. */
function valueOfKey(text: string, start: number, key: string): number {
  let found = -1;
  let at = skipSpace(text, start + 1);
  while (text[at] === '"') {
    const endOfKey = endOfValue(text, at);
    const isIt = JSON.parse(text.slice(at, endOfKey)) === key;
    const value = skipSpace(text, skipSpace(text, endOfKey) + 1);
    if (isIt) found = value;
    at = skipSpace(text, skipSpace(text, endOfValue(text, value)) + 1);
  }
  return found;
}

/** Where a value of valid JSON ends. */
function endOfValue(text: string, start: number): number {
  const first = text[start];
  if (first === '"') return endOfString(text, start);
  if (first !== "{" && first !== "[") {
    let at = start;
    while (at < text.length && !/[,\]}\s]/.test(text[at] ?? "")) at += 1;
    return at;
  }
  let depth = 0;
  for (let at = start; at < text.length; at++) {
    const character = text[at];
    if (character === '"') at = endOfString(text, at) - 1;
    else if (character === "{" || character === "[") depth += 1;
    else if (character === "}" || character === "]") {
      depth -= 1;
      if (depth === 0) return at + 1;
    }
  }
  return text.length;
}

/** Behind the closing quote. */
function endOfString(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] === "\\") at += 1;
    else if (text[at] === '"') return at + 1;
  }
  return text.length;
}

function skipSpace(text: string, from: number): number {
  let at = from;
  while (at < text.length && /\s/.test(text[at] ?? "")) at += 1;
  return at;
}
