import { parseDocument } from "yaml";
import { z } from "zod";
import { configError } from "./values.ts";

/** An ngrok configuration in our words. */
export interface ImportedConfig {
  /** What goes into our file: `agent` settings and `endpoints`. */
  readonly config: { agent?: Record<string, unknown>; endpoints?: Record<string, unknown>[] };
  /** Keys that were left out, each with the reason. */
  readonly dropped: readonly string[];
}

type Node = Record<string, unknown>;

const fileSchema = z.record(z.string(), z.unknown());
const REASON_SERVICE = "is a setting of ngrok's service";
const REASON_UNKNOWN = "has no counterpart";

/** Agent settings that mean the same here. */
const AGENT_KEYS = new Set(["web_addr", "log", "log_level", "log_format"]);
const LOG_LEVELS: Readonly<Record<string, string>> = { crit: "error", dbug: "debug", eror: "error" };

/**
 * Reads an ngrok configuration, version 2 (`tunnels:`) or 3 (`agent:`, `endpoints:`, also `tunnels:`). What cannot be kept is
 * named, never silently lost: a password that guards a tunnel there must not be missing unnoticed here.
 */
export function importNgrok(source: string): ImportedConfig {
  const document = parseDocument(source, { uniqueKeys: true });
  const error = document.errors[0];
  if (error !== undefined)
    throw configError(`line ${error.linePos?.[0].line ?? 1}: ${error.message.split("\n")[0] ?? ""}`);
  const parsed = fileSchema.safeParse(document.toJS() ?? {});
  if (!parsed.success) throw configError("this is no ngrok configuration: it is not a list of settings");
  const file = parsed.data;
  const dropped: string[] = [];
  const drop = (key: string, reason: string): void => void dropped.push(`${key}: ${reason}`);
  const agent: Node = {};
  const endpoints: Node[] = [];

  for (const [key, value] of Object.entries(file)) {
    if (key === "version") continue;
    if (key === "agent")
      for (const [name, inner] of entries(value)) importAgent(agent, name, inner, `agent.${name}`, drop);
    else if (key === "endpoints") for (const item of list(value)) endpoints.push(importEndpoint(node(item), drop));
    else if (key === "tunnels")
      for (const [name, tunnel] of entries(value)) endpoints.push(importTunnel(name, node(tunnel), drop));
    else importAgent(agent, key, value, key, drop);
  }
  return {
    config: {
      ...(Object.keys(agent).length > 0 && { agent }),
      ...(endpoints.length > 0 && { endpoints }),
    },
    dropped,
  };
}

type Drop = (key: string, reason: string) => void;

function importAgent(agent: Node, name: string, value: unknown, key: string, drop: Drop): void {
  if (name === "authtoken" || name === "api_key")
    drop(key, "a token of ngrok is none of your relay: `ggrok login RELAY`");
  else if (name === "log_level" && typeof value === "string") agent[name] = LOG_LEVELS[value] ?? value;
  else if (AGENT_KEYS.has(name)) agent[name] = value;
  else if (["region", "connect_url", "server_addr"].includes(name))
    drop(key, `${REASON_SERVICE}; the relay is named with \`relay:\``);
  else if (name === "proxy_url" || name === "http_proxy") drop(key, "write it as `proxy:` at the top of the file");
  else if (name === "connect_cas" || name === "root_cas") drop(key, "write it as `ca:` at the top of the file");
  else drop(key, REASON_UNKNOWN);
}

function importEndpoint(endpoint: Node, drop: Drop): Node {
  const name = String(endpoint["name"] ?? "");
  const result: Node = { name };
  const upstream: Node = {};
  for (const [key, value] of entries(endpoint)) {
    const path = `endpoints.${name}.${key}`;
    if (key === "name") continue;
    if (key === "url" || key === "pooling_enabled") result[key] = value;
    else if (key === "upstream") {
      for (const [inner, setting] of entries(value)) {
        if (inner === "url") upstream["url"] = setting;
        else if (inner === "proxy_protocol") upstream["proxy_protocol"] = Number(setting);
        else if (inner === "protocol" && setting === "http1") continue;
        else drop(`${path}.${inner}`, REASON_UNKNOWN);
      }
    } else if (key === "traffic_policy") drop(path, "policies are not known: what they guard is open here");
    else drop(path, ["description", "metadata", "bindings"].includes(key) ? REASON_SERVICE : REASON_UNKNOWN);
  }
  return { ...result, upstream };
}

/** The older shape, one map of tunnels by name. */
function importTunnel(name: string, tunnel: Node, drop: Drop): Node {
  const protocol = String(tunnel["proto"] ?? "http");
  const result: Node = { name };
  const upstream: Node = {};
  for (const [key, value] of entries(tunnel)) {
    const path = `tunnels.${name}.${key}`;
    const known = TUNNEL_KEYS[key];
    if (known !== undefined) known({ value, result, upstream, protocol, path, drop });
    else drop(path, GUARDS.has(key) ? "what it guards is open here: protect the app itself" : REASON_UNKNOWN);
  }
  if (protocol === "tcp") result["url"] ??= "tcp://";
  if (protocol === "tls") drop(`tunnels.${name}.proto`, "TLS tunnels are not known");
  return result["url"] === "tcp://" ? { ...withoutUrl(result), upstream: asTcp(upstream) } : { ...result, upstream };
}

interface TunnelKey {
  readonly value: unknown;
  readonly result: Node;
  readonly upstream: Node;
  readonly protocol: string;
  readonly path: string;
  readonly drop: Drop;
}

const GUARDS = new Set(["oauth", "oidc", "mutual_tls_cas", "verify_webhook", "policy"]);

const TUNNEL_KEYS: Readonly<Record<string, (o: TunnelKey) => void>> = {
  proto() {},
  schemes() {},
  addr({ value, upstream }) {
    upstream["url"] = value;
  },
  domain: renamed("url"),
  hostname: renamed("url"),
  subdomain: renamed("url"),
  remote_addr({ value, result }) {
    result["url"] = `tcp://${String(value)}`;
  },
  pooling_enabled: renamed("pooling_enabled"),
  basic_auth: renamed("basic_auth"),
  auth({ value, result }) {
    result["basic_auth"] = [value];
  },
  ip_restriction({ value, result, path, drop }) {
    for (const [key, networks] of entries(value)) {
      if (key === "allow_cidrs") result["cidr_allow"] = networks;
      else if (key === "deny_cidrs") result["cidr_deny"] = networks;
      else drop(`${path}.${key}`, REASON_UNKNOWN);
    }
  },
  inspect({ value, result }) {
    if (value === false) result["inspect"] = false;
  },
  host_header({ value, upstream }) {
    upstream["host_header"] = value;
  },
  proxy_proto({ value, upstream }) {
    if (value !== "" && value !== undefined) upstream["proxy_protocol"] = Number(value);
  },
  request_header: (o) => importHeaders("request_headers", o),
  response_header: (o) => importHeaders("response_headers", o),
};

/** A setting that is the same under this name. */
function renamed(name: string): (o: TunnelKey) => void {
  return ({ value, result }) => {
    result[name] = value;
  };
}

function importHeaders(name: string, { value, result, path, drop }: TunnelKey): void {
  const headers: Node = {};
  for (const [key, lines] of entries(value)) {
    if (key !== "add" && key !== "remove") drop(`${path}.${key}`, REASON_UNKNOWN);
    else if (list(lines).some((line) => String(line).includes("${"))) drop(`${path}.${key}`, "variables are not known");
    else headers[key] = list(lines);
  }
  if (Object.keys(headers).length > 0) result[name] = headers;
}

function asTcp(upstream: Node): Node {
  const url = String(upstream["url"] ?? "");
  return { ...upstream, url: `tcp://${/^\d+$/.test(url) ? `localhost:${url}` : url}` };
}

function withoutUrl({ url: _url, ...rest }: Node): Node {
  return rest;
}

function node(value: unknown): Node {
  const parsed = fileSchema.safeParse(value);
  return parsed.success ? parsed.data : {};
}

function entries(value: unknown): [string, unknown][] {
  return Object.entries(node(value));
}

function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}
