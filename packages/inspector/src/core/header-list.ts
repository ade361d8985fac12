import type { HeaderPairs } from "./exchange.ts";

/** One field of a head. */
export interface HeaderField {
  readonly name: string;
  readonly value: string;
}

/** Fields whose values open doors: masked until somebody asks. */
const SECRET_FIELDS = new Set([
  "authorization",
  "proxy-authorization",
  "cookie",
  "set-cookie",
  "x-api-key",
  "x-auth-token",
  "x-csrf-token",
]);

/** The fields one by one. */
export function toFields(pairs: HeaderPairs): HeaderField[] {
  const fields: HeaderField[] = [];
  for (let i = 0; i + 1 < pairs.length; i += 2) fields.push({ name: pairs[i] ?? "", value: pairs[i + 1] ?? "" });
  return fields;
}

/** All values of a field, in order; case of the name does not matter. */
export function valuesOf(pairs: HeaderPairs, name: string): string[] {
  return toFields(pairs)
    .filter((field) => field.name.toLowerCase() === name)
    .map((field) => field.value);
}

/** The first value of a field. */
export function firstValue(pairs: HeaderPairs, name: string): string | undefined {
  return valuesOf(pairs, name)[0];
}

/** Whether a field's value is masked until it is clicked. */
export function isSecretField(name: string): boolean {
  return SECRET_FIELDS.has(name.toLowerCase());
}

/** What the value is good for stays readable, such as `Bearer`; the secret does not. */
export function maskValue(name: string, value: string): string {
  const scheme = /authorization$/i.test(name) ? /^([A-Za-z][\w-]{0,15}) ./.exec(value)?.[1] : undefined;
  return scheme === undefined ? "••••••••" : `${scheme} ••••••••`;
}

/** A head as lines to edit, secrets masked. */
export function maskedHead(pairs: HeaderPairs): string {
  return toFields(pairs)
    .map(({ name, value }) => `${name}: ${isSecretField(name) ? maskValue(name, value) : value}`)
    .join("\n");
}

/** Puts the secrets back where their masks still stand. A mask that belongs to none stays, and no head can carry it. */
export function unmaskHead(text: string, pairs: HeaderPairs): string {
  const secrets = toFields(pairs).filter(({ name }) => isSecretField(name));
  return text
    .split("\n")
    .map((line) => {
      const at = secrets.findIndex(({ name, value }) => line.trim() === `${name}: ${maskValue(name, value)}`);
      const [secret] = at === -1 ? [] : secrets.splice(at, 1);
      return secret === undefined ? line : `${secret.name}: ${secret.value}`;
    })
    .join("\n");
}
