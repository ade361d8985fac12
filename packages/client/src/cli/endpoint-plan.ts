import { dirname, resolve } from "node:path";
import { readAuthorities } from "../config/authorities.ts";
import { lineOf } from "../config/load.ts";
import type { FileEndpoint } from "../config/schema.ts";
import type { ConfigLayer } from "../config/settings.ts";
import { configError, parseDuration } from "../config/values.ts";
import { parseCidr, parsePathGlob, parseRateLimit, parseUsers, type VisitorPlan } from "../config/visitor-plan.ts";
import { parseHeaderRules } from "../forward/header-rules.ts";
import { parseHostHeader } from "../forward/host-header.ts";
import { parseMounts } from "../forward/mounts.ts";
import { parseTarget } from "../forward/target.ts";
import { parseTcpTarget } from "../forward/tcp-target.ts";
import { planUpstream } from "../forward/upstream-plan.ts";
import type { TunnelPlan } from "../running-tunnel.ts";
import { parseHook } from "../webhook/hooks.ts";
import { WebhookVerifier } from "../webhook/verifier.ts";

/** One tunnel of a configuration file: as it stands there, and what it means. */
export interface PlannedEndpoint {
  readonly endpoint: FileEndpoint;
  readonly plan: TunnelPlan;
}

/** Settings that the relay is told of: a change of one of them asks for the name anew. */
const BIND_KEYS = [
  "url",
  "pooling_enabled",
  "strip_prefix",
  "public",
  "cidr_allow",
  "cidr_deny",
  "basic_auth",
  "basic_auth_pass",
  "rate_limit",
  "open",
] as const satisfies readonly (keyof FileEndpoint)[];

/** Reads all tunnels of a file, in its order; every problem is named at once, with its line. */
export function planEndpoints(layer: ConfigLayer, env: NodeJS.ProcessEnv): PlannedEndpoint[] {
  const problems: string[] = [];
  const planned = (layer.config.endpoints ?? []).flatMap((endpoint, at): PlannedEndpoint[] => {
    const check = <T>(path: readonly PropertyKey[], read: () => T): T | undefined => {
      try {
        return read();
      } catch (error) {
        const line = lineOf(layer.config, ["endpoints", at, ...path]);
        const message = error instanceof Error ? error.message : String(error);
        problems.push(`${layer.path}:${line}: endpoint "${endpoint.name}": ${message}`);
        return undefined;
      }
    };
    const plan = planEndpoint(endpoint, { check, folder: dirname(layer.path), env });
    return plan === undefined ? [] : [{ endpoint, plan }];
  });
  if (problems.length > 0) throw configError(problems.join("\n"));
  return planned;
}

/** Whether the relay has to be asked for the name again, or only the way behind it is another. */
export function isBoundAlike(before: PlannedEndpoint, after: PlannedEndpoint): boolean {
  const { tcp: tcpBefore } = before.plan;
  const { tcp: tcpAfter } = after.plan;
  if ((tcpBefore === undefined) !== (tcpAfter === undefined)) return false;
  return BIND_KEYS.every((key) => JSON.stringify(before.endpoint[key]) === JSON.stringify(after.endpoint[key]));
}

type Check = <T>(path: readonly PropertyKey[], read: () => T) => T | undefined;

function planEndpoint(
  endpoint: FileEndpoint,
  o: { check: Check; folder: string; env: NodeJS.ProcessEnv },
): TunnelPlan | undefined {
  const { check } = o;
  const { name, url, upstream, timeout, mounts = {}, request_headers, response_headers } = endpoint;
  const targetText = String(upstream.url);
  const isTcp = /^tcp:/i.test(targetText) || (url !== undefined && /^tcp:/i.test(url));
  const target = check(["upstream", "url"], () => (isTcp ? parseTcpTarget(targetText) : parseTarget(targetText)));
  const timeoutMs = check(["timeout"], () => (timeout === undefined ? undefined : parseDuration(timeout)));
  const visitors = readVisitors(endpoint, check, o.env);
  const hooks = check(["verify_webhook"], () => endpoint.verify_webhook?.map((text) => parseHook(text, o.env)));
  const isEnforced = endpoint.verify_webhook_mode !== "report";
  const webhook = hooks === undefined ? undefined : { verifier: new WebhookVerifier(hooks), isEnforced };
  const { host_header, tls_ca, tls_verify, proxy_protocol } = upstream;
  const way = planUpstream({
    hostHeader: check(["upstream", "host_header"], () =>
      host_header === undefined ? undefined : parseHostHeader(host_header),
    ),
    mounts: check(["mounts"], () => parseMounts(Object.entries(mounts).map(([path, to]) => `${path}=${to}`))) ?? [],
    requestRules: check(["request_headers"], () =>
      parseHeaderRules(request_headers?.add ?? [], request_headers?.remove ?? []),
    ),
    responseRules: check(["response_headers"], () =>
      parseHeaderRules(response_headers?.add ?? [], response_headers?.remove ?? []),
    ),
    verify: tls_verify,
    ca: check(["upstream", "tls_ca"], () =>
      tls_ca === undefined ? undefined : readAuthorities(resolve(o.folder, tls_ca)),
    ),
  });
  if (target === undefined) return undefined;
  return {
    name,
    target,
    targetLabel: target.label,
    ...(url !== undefined && !/^tcp:\/\/$/i.test(url) && { url }),
    memory: `endpoint ${name}`,
    isPooling: endpoint.pooling_enabled === true,
    isTakeover: false,
    isPrefixStripped: endpoint.strip_prefix === true,
    isInspected: endpoint.inspect !== false,
    ...(timeoutMs !== undefined && { timeoutMs }),
    ...(isTcp
      ? {
          tcp: {
            isPublic: endpoint.public === true,
            ...(visitors.cidrAllow !== undefined && { cidrAllow: visitors.cidrAllow }),
            ...(visitors.cidrDeny !== undefined && { cidrDeny: visitors.cidrDeny }),
            ...(proxy_protocol !== undefined && { proxyProtocol: proxy_protocol }),
          },
        }
      : { ...way, visitors, ...(webhook !== undefined && { webhook }) }),
  };
}

function readVisitors(endpoint: FileEndpoint, check: Check, env: NodeJS.ProcessEnv): VisitorPlan {
  const { cidr_allow, cidr_deny, basic_auth, basic_auth_pass, rate_limit, open } = endpoint;
  const cidrAllow = check(["cidr_allow"], () => cidr_allow?.map(parseCidr));
  const cidrDeny = check(["cidr_deny"], () => cidr_deny?.map(parseCidr));
  const users = check(["basic_auth"], () => basic_auth?.flatMap((text) => parseUsers(text, env)));
  const rateLimit = check(["rate_limit"], () => (rate_limit === undefined ? undefined : parseRateLimit(rate_limit)));
  const paths = check(["open"], () => open?.map(parsePathGlob));
  return {
    ...(cidrAllow !== undefined && { cidrAllow }),
    ...(cidrDeny !== undefined && { cidrDeny }),
    ...(users !== undefined && { basicAuth: users }),
    ...(basic_auth_pass !== undefined && { basicAuthPass: basic_auth_pass }),
    ...(rateLimit !== undefined && { rateLimit }),
    ...(paths !== undefined && { open: paths }),
  };
}
