/** A name and its value, decoded. */
export interface FormField {
  readonly name: string;
  readonly value: string;
}

/** Splits a request target; the fragment never reaches a server. */
export function splitTarget(target: string): { path: string; query: string | undefined } {
  const at = target.indexOf("?");
  return at === -1 ? { path: target, query: undefined } : { path: target.slice(0, at), query: target.slice(at + 1) };
}

/** Reads `application/x-www-form-urlencoded`, of a query or of a body. What is not valid percent-encoding stays as it is. */
export function parseForm(text: string): FormField[] {
  return text
    .split("&")
    .filter((pair) => pair !== "")
    .map((pair) => {
      const at = pair.indexOf("=");
      const [name, value] = at === -1 ? [pair, ""] : [pair.slice(0, at), pair.slice(at + 1)];
      return { name: decode(name), value: decode(value) };
    });
}

function decode(text: string): string {
  const spaced = text.replaceAll("+", " ");
  try {
    return decodeURIComponent(spaced);
  } catch {
    return spaced;
  }
}
