import { getField, type HeaderList } from "@ggrok/protocol";
import { configError } from "../config/values.ts";
import type { Target } from "./target.ts";

/** Which Host the app sees; `auto` begins with the visitor's and turns to the local one for apps that refuse it. */
export type HostHeader =
  | { readonly mode: "auto" | "preserve" | "rewrite" }
  | { readonly mode: "literal"; host: string };

const HOST = /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(:\d{1,5})?$/;

/** Reads `auto`, `preserve`, `rewrite` or a host to send; throws CONFIG_INVALID on anything else. */
export function parseHostHeader(text: string): HostHeader {
  if (text === "auto" || text === "preserve" || text === "rewrite") return { mode: text };
  if (!HOST.test(text)) throw configError(`"${text}" is neither auto, preserve, rewrite nor a host name`);
  return { mode: "literal", host: text };
}

/** Scheme and host (with its port) under which one side knows the app. */
export interface Origin {
  readonly scheme: string;
  readonly host: string;
}

/**
 * Where the app believes to be asked. Apps on this machine are `localhost`, under whatever address they are reached: Next
 * takes 127.0.0.1 for a foreign host.
 */
export function localOrigin(target: Target, hostHeader: HostHeader): Origin {
  const { scheme } = target;
  if (hostHeader.mode === "literal") return { scheme, host: hostHeader.host };
  if (!target.isLoopback || target.isLocalhostName) return { scheme, host: target.authority };
  const port = /:(\d+)$/.exec(target.authority)?.[1];
  return { scheme, host: port === undefined ? "localhost" : `localhost:${port}` };
}

/** Where the visitor believes to be: the Host of the request, and the scheme the relay or its front end saw. */
export function publicOrigin(fields: HeaderList): Origin | undefined {
  const host = getField(fields, "host");
  if (host === undefined || host === "") return undefined;
  const scheme = getField(fields, "x-forwarded-proto")?.split(",", 1)[0]?.trim().toLowerCase();
  return { scheme: scheme === "https" ? "https" : "http", host };
}

/**
 * The request as the app on this machine expects it: Host, and Origin and Referer where they name our own public origin. A
 * foreign Origin stays, so that the app's protection against other sites still works.
 */
export function rewriteRequest(
  fields: HeaderList,
  o: { from: Origin | undefined; to: Origin; dropsForwardedHost: boolean },
): HeaderList {
  const to = `${o.to.scheme}://${o.to.host}`;
  const rewritten: string[] = [];
  let hasHost = false;
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i] ?? "";
    let value = fields[i + 1] ?? "";
    switch (name.toLowerCase()) {
      case "host":
        value = o.to.host;
        hasHost = true;
        break;
      case "origin":
        if (isOrigin(value, o.from)) value = to;
        break;
      case "referer": {
        const path = pathBehind(value, o.from);
        if (path !== undefined) value = to + path;
        break;
      }
      case "x-forwarded-host":
        if (o.dropsForwardedHost) continue;
        break;
      default:
        break;
    }
    rewritten.push(name, value);
  }
  if (!hasHost) rewritten.unshift("Host", o.to.host);
  return rewritten;
}

/** The answer as the visitor expects it: Location and the domain of cookies name the public origin again. */
export function rewriteAnswer(fields: HeaderList, o: { local: Origin; visitor: Origin; basePath: string }): HeaderList {
  let rewritten: string[] | undefined;
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i] ?? "";
    const value = fields[i + 1] ?? "";
    let changed = value;
    // The length decides for nearly every field.
    if (name.length === 8 && name.toLowerCase() === "location") changed = publicLocation(value, o);
    else if (name.length === 10 && name.toLowerCase() === "set-cookie") changed = publicCookie(value, o);
    if (changed === value) continue;
    rewritten ??= [...fields];
    rewritten[i + 1] = changed;
  }
  return rewritten ?? fields;
}

function publicLocation(value: string, o: { local: Origin; visitor: Origin; basePath: string }): string {
  const path = pathBehind(value, o.local) ?? pathBehind(value, { ...o.local, scheme: "" });
  return path === undefined ? value : `${o.visitor.scheme}://${o.visitor.host}${withoutBase(path, o.basePath)}`;
}

function withoutBase(path: string, basePath: string): string {
  if (basePath === "" || !path.startsWith(basePath)) return path;
  const rest = path.slice(basePath.length);
  return rest === "" || /^[/?#]/.test(rest) ? rest : path;
}

/** A cookie for the local host's name is one for the public host's. */
function publicCookie(value: string, o: { local: Origin; visitor: Origin }): string {
  return value.replace(/(;[ \t]*domain[ \t]*=[ \t]*)\.?([^;]*?)([ \t]*(?=;|$))/i, (whole, name, domain, end) =>
    String(domain).toLowerCase() === hostName(o.local.host) ? `${name}${hostName(o.visitor.host)}${end}` : whole,
  );
}

function isOrigin(value: string, origin: Origin | undefined): boolean {
  return origin !== undefined && value.toLowerCase() === `${origin.scheme}://${origin.host}`.toLowerCase();
}

/** What follows the origin in a URL; undefined when the URL is elsewhere. Without a scheme: `//host/path`. */
function pathBehind(url: string, origin: Origin | undefined): string | undefined {
  if (origin === undefined) return undefined;
  const start = `${origin.scheme === "" ? "" : `${origin.scheme}:`}//${origin.host}`;
  if (url.slice(0, start.length).toLowerCase() !== start.toLowerCase()) return undefined;
  const rest = url.slice(start.length);
  return rest === "" || /^[/?#]/.test(rest) ? rest : undefined;
}

function hostName(host: string): string {
  return host.replace(/:\d+$/, "").toLowerCase();
}
