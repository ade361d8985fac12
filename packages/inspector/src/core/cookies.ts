/** A cookie that a request carries. */
export interface Cookie {
  readonly name: string;
  readonly value: string;
}

/** A cookie that an answer sets, with its attributes as they stand. */
export interface SetCookie extends Cookie {
  readonly attributes: readonly string[];
}

/** Reads the values of Cookie fields. */
export function parseCookies(values: readonly string[]): Cookie[] {
  return values
    .flatMap((value) => value.split(";"))
    .map((pair) => pair.trim())
    .filter((pair) => pair !== "")
    .map(toPair);
}

/** Reads the value of one Set-Cookie field. */
export function parseSetCookie(value: string): SetCookie {
  const [pair = "", ...attributes] = value.split(";").map((part) => part.trim());
  return { ...toPair(pair), attributes: attributes.filter((attribute) => attribute !== "") };
}

function toPair(pair: string): Cookie {
  const at = pair.indexOf("=");
  return at === -1
    ? { name: pair, value: "" }
    : {
        name: pair.slice(0, at).trim(),
        value: pair
          .slice(at + 1)
          .trim()
          .replace(/^"(.*)"$/s, "$1"),
      };
}
