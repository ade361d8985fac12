/** A Content-Type in parts, in lower case but for the parameters' values. */
export interface MediaType {
  readonly type: string;
  readonly parameters: ReadonlyMap<string, string>;
}

/** Reads a Content-Type; a missing or broken one is an empty type. */
export function parseMediaType(value: string | undefined): MediaType {
  const [type = "", ...rest] = splitParameters(value ?? "");
  const parameters = new Map<string, string>();
  for (const part of rest) {
    const at = part.indexOf("=");
    if (at === -1) continue;
    const text = part.slice(at + 1).trim();
    const name = part.slice(0, at).trim().toLowerCase();
    if (!parameters.has(name)) parameters.set(name, /^"(.*)"$/s.exec(text)?.[1]?.replace(/\\(.)/gs, "$1") ?? text);
  }
  return { type: type.trim().toLowerCase(), parameters };
}

/** Splits at the semicolons that are not inside quotes. */
function splitParameters(value: string): string[] {
  return value.match(/(?:"(?:[^"\\]|\\.)*"|[^;"]|")+/gs) ?? [];
}
