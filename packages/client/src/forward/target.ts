import { isIP, isIPv6 } from "node:net";
import { isAbsolute, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
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
  /** As shown to people, in the events and in the local API. */
  readonly label: string;
  /** The app listens on this Unix socket instead of host and port. */
  readonly socketPath?: string;
  /** There is no app: this folder's files are served. */
  readonly folder?: string;
}

const DEFAULT_PORT = { http: 80, https: 443 } as const;
const HOST_NAME = /^[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?$/;
const SCHEME = /^([A-Za-z][A-Za-z0-9+.-]*):\/\//;
const FORMS = "write a port (3000), host:port, http://host:port/base, unix:/path.sock or file:///folder";

/**
 * Parses `3000`, `host:3000`, `http(s)://host:port/base`, `unix:/path.sock` or `file:///folder`; throws CONFIG_INVALID with a
 * sentence that says why. Nothing is looked up: a socket or folder may come later.
 */
export function parseTarget(text: string): Target {
  const trimmed = text.trim();
  if (trimmed === "") throw configError(`the target is empty: ${FORMS}`);
  if (/^unix:/i.test(trimmed)) return parseSocket(text, trimmed.slice("unix:".length));
  if (/^file:/i.test(trimmed)) return parseFolder(text, trimmed);
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
  const path = originForm(requestTarget);
  return path.charCodeAt(0) === 0x2f ? target.basePath + path : path;
}

/** A request-target without scheme and authority; the asterisk form stays as it is. */
export function originForm(requestTarget: string): string {
  if (requestTarget.charCodeAt(0) === 0x2f /* / */) return requestTarget;
  const scheme = SCHEME.exec(requestTarget);
  if (scheme === null) return requestTarget;
  const rest = requestTarget.slice(scheme[0].length);
  const end = rest.search(/[/?#]/);
  if (end === -1) return "/";
  return rest[end] === "/" ? rest.slice(end) : `/${rest.slice(end)}`;
}

function parseSocket(text: string, rest: string): Target {
  // `unix:///run/app.sock` means the same as `unix:/run/app.sock`.
  const path = rest.replace(/^\/\/(?=\/)/, "");
  if (!isAbsolute(path) || path.startsWith("//"))
    throw configError(`"${text}": write the whole path of the socket, as in unix:/run/app.sock`);
  return {
    ...build(text, "http", "localhost", 80, ""),
    isLocalhostName: false,
    label: `unix:${path}`,
    socketPath: path,
  };
}

function parseFolder(text: string, url: string): Target {
  let folder: string;
  try {
    folder = resolve(fileURLToPath(url));
  } catch (cause) {
    throw configError(`"${text}": write the whole path of the folder, as in file:///srv/site`, cause);
  }
  if (!/^file:\/\/\//i.test(url))
    throw configError(`"${text}": write the whole path of the folder, as in file:///srv/site`);
  if (/[?#]/.test(url)) throw configError(`"${text}": a target has no query and no fragment`);
  return {
    ...build(text, "http", "localhost", 80, ""),
    isLocalhostName: false,
    label: pathToFileURL(folder).href,
    folder,
  };
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
  const authority = port === DEFAULT_PORT[scheme] ? host : `${host}:${port}`;
  return {
    text,
    scheme,
    hostname,
    port,
    basePath,
    authority,
    isLoopback: isLocalhostName || isLoopbackAddress(name),
    isLocalhostName,
    label: `${scheme}://${authority}${basePath}`,
  };
}

function isLoopbackAddress(address: string): boolean {
  if (isIP(address) === 4) return address.startsWith("127.");
  return isIPv6(address) && /^(0*:)*:?0*1$|^::ffff:127\./i.test(address);
}
