import { isIP, isIPv6 } from "node:net";
import { configError } from "../config/values.ts";

/** Where an agent hands a tunnel's exchanges to: from the user's command line, configuration or API, never from the wire. */
export interface Target {
  /** As the user wrote it. */
  readonly text: string;
  readonly scheme: "http" | "https";
  /** Host name or address, an IPv6 address without brackets. */
  readonly hostname: string;
  readonly port: number;
  /** Put before the path of every request, byte for byte; empty, or with a leading and no trailing slash. */
  readonly basePath: string;
  /** Host and port as a URL and a Host field write them. */
  readonly authority: string;
  /** The app runs on this machine: its certificate need not be one the world trusts. */
  readonly isLoopback: boolean;
  /** A `localhost` name: both address families are tried. */
  readonly isLocalhostName: boolean;
}

const DEFAULT_PORT = { http: 80, https: 443 } as const;
const HOST_NAME = /^[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?$/;
const SCHEME = /^([A-Za-z][A-Za-z0-9+.-]*):\/\//;
const FORMS = "write a port (3000), host:port, or http://host:port/base";

/** Parses `3000`, `host:3000`, `http://host:port/base` or `https://…`; throws CONFIG_INVALID with a sentence that says why. */
export function parseTarget(text: string): Target {
  const trimmed = text.trim();
  if (trimmed === "") throw configError(`the target is empty: ${FORMS}`);
  if (/^(unix|file):/i.test(trimmed)) {
    throw configError(`"${text}": Unix sockets and folders are no targets yet: ${FORMS}`);
  }
  if (/^\d+$/.test(trimmed)) return build(text, "http", "localhost", parsePort(text, trimmed), "");

  const schemeName = SCHEME.exec(trimmed)?.[1]?.toLowerCase();
  if (schemeName !== undefined && schemeName !== "http" && schemeName !== "https") {
    throw configError(`"${text}": the scheme ${schemeName} is not known: use http or https`);
  }
  const rest = schemeName === undefined ? trimmed : trimmed.slice(schemeName.length + 3);
  const end = rest.search(/[/?#]/);
  const authority = end === -1 ? rest : rest.slice(0, end);
  const path = end === -1 ? "" : rest.slice(end);
  if (schemeName === undefined && path !== "" && path !== "/") {
    throw configError(`"${text}": a target with a path starts with http:// or https://`);
  }
  if (authority.includes("@")) throw configError(`"${text}": a target carries no user and no password`);

  const { hostname, port } = splitAuthority(text, authority);
  const scheme = schemeName ?? "http";
  if (port === undefined && schemeName === undefined) throw configError(`"${text}" has no port: ${FORMS}`);
  return build(text, scheme, hostname, port ?? DEFAULT_PORT[scheme], parseBasePath(text, path));
}

/**
 * The request-target the app is given. An absolute form loses its scheme and authority: where the request goes is the
 * user's word alone.
 */
export function joinTarget(target: Target, requestTarget: string): string {
  if (requestTarget.charCodeAt(0) === 0x2f /* / */) return target.basePath + requestTarget;
  const scheme = SCHEME.exec(requestTarget);
  if (scheme === null) return requestTarget;
  const rest = requestTarget.slice(scheme[0].length);
  const end = rest.search(/[/?#]/);
  if (end === -1) return `${target.basePath}/`;
  return rest[end] === "/" ? target.basePath + rest.slice(end) : `${target.basePath}/${rest.slice(end)}`;
}

function splitAuthority(text: string, authority: string): { hostname: string; port: number | undefined } {
  const literal = /^\[([^\]]*)\](?::(.*))?$/.exec(authority);
  if (literal !== null) {
    const address = literal[1] ?? "";
    if (!isIPv6(address)) throw configError(`"${text}": ${address} is not an IPv6 address`);
    return { hostname: address, port: literal[2] === undefined ? undefined : parsePort(text, literal[2]) };
  }
  const colon = authority.indexOf(":");
  if (colon !== authority.lastIndexOf(":")) {
    throw configError(`"${text}": an IPv6 address stands in brackets, as in [::1]:3000`);
  }
  const hostname = colon === -1 ? authority : authority.slice(0, colon);
  if (hostname === "") throw configError(`"${text}" has no host: ${FORMS}`);
  if (!HOST_NAME.test(hostname) || hostname.length > 253)
    throw configError(`"${text}": ${hostname} is not a host name`);
  return { hostname, port: colon === -1 ? undefined : parsePort(text, authority.slice(colon + 1)) };
}

function parsePort(text: string, digits: string): number {
  const port = Number(digits);
  if (!/^\d{1,5}$/.test(digits) || port < 1 || port > 65_535) {
    throw configError(`"${text}": ${digits === "" ? "nothing" : digits} is not a port: ports are 1 to 65535`);
  }
  return port;
}

function parseBasePath(text: string, path: string): string {
  if (/[?#]/.test(path)) throw configError(`"${text}": a target has no query and no fragment`);
  if (/[^\x21-\x7e]/.test(path))
    throw configError(`"${text}": write spaces and other letters of the path percent-encoded`);
  return path.endsWith("/") ? path.slice(0, -1) : path;
}

function build(text: string, scheme: "http" | "https", hostname: string, port: number, basePath: string): Target {
  const name = hostname.toLowerCase().replace(/\.$/, "");
  const isLocalhostName = name === "localhost" || name.endsWith(".localhost");
  const host = isIP(hostname) === 6 ? `[${hostname}]` : hostname;
  return {
    text,
    scheme,
    hostname,
    port,
    basePath,
    authority: port === DEFAULT_PORT[scheme] ? host : `${host}:${port}`,
    isLoopback: isLocalhostName || isLoopbackAddress(name),
    isLocalhostName,
  };
}

function isLoopbackAddress(address: string): boolean {
  if (isIP(address) === 4) return address.startsWith("127.");
  return isIPv6(address) && /^(0*:)*:?0*1$|^::ffff:127\./i.test(address);
}
