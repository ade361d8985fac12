import { configError } from "../config/values.ts";
import { type Destination, parseAuthority } from "./destination.ts";
import { matchesGlob } from "./environment.ts";
import { type ProxyAddress, parseSecretProxy } from "./proxy-url.ts";

/** One line of the table that says which way a destination goes. */
export interface UpstreamRule {
  /** Lower case, `*` for any text. */
  readonly hostGlob: string;
  /** Undefined: every port. */
  readonly port: number | undefined;
  /** Undefined: directly. */
  readonly proxy: ProxyAddress | undefined;
}

/** Parses `HOST-GLOB[:PORT]=direct|URL`, the URL also as `env:NAME` or `file:PATH`; throws CONFIG_INVALID. */
export function parseUpstreamRule(text: string, env: NodeJS.ProcessEnv): UpstreamRule {
  const at = text.indexOf("=");
  const left = text.slice(0, Math.max(at, 0)).trim().toLowerCase();
  const right = text.slice(at + 1).trim();
  const match = /^(\[[0-9a-f:.]+\]|[a-z0-9_.*-]+)(?::(\d{1,5}))?$/.exec(left);
  const port = match?.[2] === undefined ? undefined : Number(match[2]);
  if (at < 0 || match?.[1] === undefined || right === "" || port === 0 || (port ?? 1) > 65_535) {
    const shown = at < 0 ? text : text.slice(0, at);
    throw configError(`the rule "${shown}" is not HOST-GLOB=direct or HOST-GLOB=URL, as in '*.corp.example=direct'`);
  }
  const hostGlob = match[1].replace(/^\[|\]$/g, "").replace(/\.$/, "");
  return { hostGlob, port, proxy: right === "direct" ? undefined : parseSecretProxy(right, env) };
}

/** The first rule that names the destination decides, else the default. */
export function chooseRoute(
  to: Destination,
  rules: readonly UpstreamRule[],
  otherwise: ProxyAddress | undefined,
): ProxyAddress | undefined {
  const host = to.host.toLowerCase().replace(/\.$/, "");
  const rule = rules.find((r) => (r.port === undefined || r.port === to.port) && matchesGlob(host, r.hostGlob));
  return rule === undefined ? otherwise : rule.proxy;
}

/** What a request in absolute form names. */
export interface AbsoluteForm {
  readonly destination: Destination;
  readonly authority: string;
  readonly path: string;
  /** Neither a path nor a query was given. */
  readonly isBare: boolean;
}

/** The destination and the path of a request in absolute form; undefined when it is not one for http. */
export function parseAbsoluteForm(target: string): AbsoluteForm | undefined {
  const match = /^http:\/\/([^/?#]*)([/?][^#]*)?$/i.exec(target);
  const authority = match?.[1] ?? "";
  const destination = parseAuthority(authority, 80);
  if (match === null || destination === undefined) return undefined;
  const rest = match[2] ?? "";
  return { destination, authority, path: rest.startsWith("/") ? rest : `/${rest}`, isBare: rest === "" };
}
