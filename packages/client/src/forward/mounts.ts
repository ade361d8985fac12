import { configError } from "../config/values.ts";
import { parseTarget, type Target } from "./target.ts";

/** Another app below a path of the same tunnel. */
export interface Mount {
  /** Begins with a slash, does not end with one. */
  readonly prefix: string;
  readonly target: Target;
}

/** Reads the values of `--mount`, as in `/api=8080`; throws CONFIG_INVALID with a sentence that says why. */
export function parseMounts(texts: readonly string[]): Mount[] {
  const mounts = texts.map((text) => {
    const equals = text.indexOf("=");
    const prefix = text.slice(0, equals).replace(/\/+$/, "");
    if (equals === -1 || !prefix.startsWith("/") || /[^\x21-\x7e]|[?#]/.test(prefix)) {
      throw configError(`"${text}": write a path below / and a target, as in /api=8080`);
    }
    return { prefix, target: parseTarget(text.slice(equals + 1)) };
  });
  const twice = mounts.find(({ prefix }, at) => mounts.findIndex((mount) => mount.prefix === prefix) !== at);
  if (twice !== undefined) throw configError(`two mounts have the path ${twice.prefix}`);
  return mounts;
}

/** Whether a path is the prefix or below it. Compared as it came: nothing is decoded, no dots are resolved. */
export function isBelow(path: string, prefix: string): boolean {
  if (!path.startsWith(prefix)) return false;
  const next = path.charCodeAt(prefix.length);
  return Number.isNaN(next) || next === 0x2f /* / */ || next === 0x3f /* ? */ || next === 0x23; /* # */
}

/** The path without the prefix it is below. */
export function stripPrefix(path: string, prefix: string): string {
  const rest = path.slice(prefix.length);
  return rest.startsWith("/") ? rest : `/${rest}`;
}
