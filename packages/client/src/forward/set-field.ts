import type { HeaderList } from "@ggrok/protocol";

/** Gives a field a value where it stands first, under its own spelling, or last when it is new; undefined takes it away. */
export function setField(fields: HeaderList, name: string, value: string | undefined): string[] {
  const lower = name.toLowerCase();
  const kept: string[] = [];
  let isDone = value === undefined;
  for (let i = 0; i < fields.length; i += 2) {
    const given = fields[i] ?? "";
    if (given.toLowerCase() !== lower) kept.push(given, fields[i + 1] ?? "");
    else if (!isDone) {
      kept.push(given, value ?? "");
      isDone = true;
    }
  }
  if (!isDone) kept.push(name, value ?? "");
  return kept;
}
