import { type Command, Option } from "@commander-js/extra-typings";
import { parseDuration } from "../../config/values.ts";
import { parseTarget, type Target } from "../../forward/target.ts";
import type { TcpPlan, TunnelPlan } from "../../running-tunnel.ts";
import { addRecordOptions, addServeOptions, booleanFlag } from "../common-options.ts";
import { loadContext } from "../context.ts";
import { parseFlag, UsageError } from "../exit-codes.ts";
import type { Io } from "../io.ts";
import type { ServeRequest } from "../serve.ts";
import { parseWebAddress, type ServeFlags } from "../serve-flags.ts";
import { readUpstreamFlags, type UpstreamFlags } from "../upstream-flags.ts";
import { appendCidrs, appendGlobs, appendText, readVisitorFlags, type VisitorFlags } from "../visitor-flags.ts";
import { readWebhookFlags, WEBHOOK_MODES, type WebhookFlags } from "../webhook-flags.ts";
import { unknownTarget } from "../wrap.ts";

/** Name of the one tunnel of a command line, as ngrok's agent calls it. */
const TUNNEL_NAME = "command_line";

/** Flags of every command with one tunnel. */
export interface TunnelFlags extends ServeFlags {
  readonly url?: string;
  readonly domain?: string;
  readonly subdomain?: string;
  readonly hostname?: string;
  readonly poolingEnabled?: boolean;
  readonly takeover?: boolean;
  readonly stripPrefix?: boolean;
  readonly timeout?: string;
  readonly wait?: string;
}

/** What `ggrok http` takes. */
interface HttpFlags extends TunnelFlags, VisitorFlags, UpstreamFlags, WebhookFlags {}

/** Adds `ggrok http` to the command line. */
export function addHttp(program: Command, io: Io, setCode: (code: number) => void, command?: readonly string[]): void {
  const options = program
    .command("http")
    .summary("give an HTTP app a public URL")
    .usage("[options] <target> [-- command ...]")
    .description(
      "give an HTTP app a public URL\n\ntarget: 3000, host:3000, http(s)://host:port/base, unix:/path.sock or file:///folder\ncommand: runs beside the tunnel, knows its address, and ends it; without a target its output says the port",
    )
    .argument("[target]", "where the app listens")
    .option("--url <url>", "the address to have: a URL, a host, or a bare name below the relay's domain")
    .option("--domain <name>", "the same as --url")
    .option("--subdomain <name>", "the same as --url")
    .option("--hostname <name>", "the same as --url")
    .option("--pooling-enabled", "share the address with other agents that say so too")
    .option("--takeover", "take the address from another living agent with the same token")
    .option("--host-header <mode>", "the Host the app sees: auto, preserve, rewrite, or a host (default: auto)")
    .option("--mount <path=target>", "another app below this path, as in /api=8080; repeatable", appendText, [])
    .option("--strip-prefix", "remove the path of --url and of --mount before the request reaches the app")
    .option("--request-header-add <field>", 'add "Name: value" to requests; repeatable', appendText, [])
    .option("--request-header-remove <name>", "remove this field from requests; repeatable", appendText, [])
    .option("--response-header-add <field>", 'add "Name: value" to answers; repeatable', appendText, [])
    .option("--response-header-remove <name>", "remove this field from answers; repeatable", appendText, [])
    .addOption(
      new Option(
        "--upstream-tls-verify <boolean>",
        "check the certificate of an https:// target (default: true, on this machine false)",
      ).argParser(booleanFlag),
    )
    .option("--upstream-tls-ca <file>", "further certificate authorities for an https:// target, PEM")
    .option(
      "--basic-auth <user:password>",
      "ask visitors to log in; repeatable, also as env:NAME or file:PATH",
      appendText,
      [],
    )
    .option("--basic-auth-pass", "let the app see the Authorization field that let the visitor in")
    .option("--cidr-allow <cidr>", "only these addresses may visit; repeatable or comma separated", appendCidrs, [])
    .option("--cidr-deny <cidr>", "these addresses may not visit; repeatable or comma separated", appendCidrs, [])
    .option("--rate-limit <N/s[:burst]>", "requests of one address, for instance 10/s or 100/m:200")
    .option("--open <path>", "paths that need no log-in, such as /webhooks/*; repeatable", appendGlobs, [])
    .option(
      "--verify-webhook <provider=secret>",
      "take only requests this provider has signed; repeatable, the secret also as env:NAME or file:PATH",
      appendText,
      [],
    )
    .addOption(
      new Option("--verify-webhook-mode <mode>", "report: show the verdict, refuse nothing (default: enforce)").choices(
        WEBHOOK_MODES,
      ),
    )
    .option("--timeout <duration>", "longest silence of the app, for instance 30s (default: none)")
    .option("--wait <duration>", "print no URL before the app accepts connections; --wait alone means --wait=60s");
  addServeOptions(addRecordOptions(options)).action(async (target: string | undefined, flags: HttpFlags) =>
    setCode(await runHttp(target, flags, { io, command })),
  );
}

/** `ggrok http <target>`: a tunnel that stays until a signal or an error that retrying cannot cure. Returns the exit code. */
async function runHttp(
  targetText: string | undefined,
  flags: HttpFlags,
  { io, command }: { io: Io; command: readonly string[] | undefined },
): Promise<number> {
  if (targetText === undefined && command === undefined) throw new UsageError("missing required argument 'target'");
  const target = targetText === undefined ? unknownTarget() : parseFlag("target", () => parseTarget(targetText));
  const request = readTunnelFlags(target, flags, {
    ...readUpstreamFlags(flags, io.cwd),
    visitors: readVisitorFlags(flags, io.env),
    ...readWebhookFlags(flags, io.env),
    ...(targetText === undefined && command !== undefined && { memory: `-- ${command.join(" ")}` }),
  });
  // The commands that open no tunnel start without what a tunnel needs.
  const { serveTunnels } = await import("../serve.ts");
  return await serveTunnels({ ...request, command }, loadContext(flags, io), io);
}

/** Reads the flags that every kind of tunnel has. */
export function readTunnelFlags(
  target: Target,
  flags: TunnelFlags,
  more: Partial<TunnelPlan> & { tcp?: TcpPlan },
): ServeRequest {
  const names = [flags.url, flags.domain, flags.subdomain, flags.hostname].filter((name) => name !== undefined);
  if (names.length > 1) throw new UsageError("--url, --domain, --subdomain and --hostname mean the same: give one");
  const { timeout, wait, webAddr } = flags;
  if (flags.local === true && flags.relay !== undefined)
    throw new UsageError("--local brings its own relay: --relay has no place beside it");
  const tunnel: TunnelPlan = {
    target,
    targetLabel: target.label,
    name: TUNNEL_NAME,
    ...(names[0] !== undefined && { url: names[0] }),
    isPooling: flags.poolingEnabled === true,
    isTakeover: flags.takeover === true,
    isPrefixStripped: flags.stripPrefix === true,
    isInspected: flags.inspect !== false,
    ...(timeout !== undefined && { timeoutMs: parseFlag("--timeout", () => parseDuration(timeout)) }),
    ...more,
  };
  return {
    tunnels: [tunnel],
    waitMs: wait === undefined ? undefined : parseFlag("--wait", () => parseDuration(wait)),
    webAddress: webAddr === undefined ? undefined : parseFlag("--web-addr", () => parseWebAddress(webAddr)),
    flags,
  };
}
