import { type Command, Option } from "@commander-js/extra-typings";
import { parseTcpTarget } from "../../forward/tcp-target.ts";
import type { TcpPlan } from "../../running-tunnel.ts";
import { addServeOptions } from "../common-options.ts";
import { loadContext } from "../context.ts";
import { parseFlag } from "../exit-codes.ts";
import type { Io } from "../io.ts";
import { appendCidrs } from "../visitor-flags.ts";
import { readTunnelFlags, type TunnelFlags } from "./http.ts";

/** What `ggrok tcp` takes. */
interface TcpFlags extends TunnelFlags {
  readonly public?: boolean;
  readonly cidrAllow: readonly string[];
  readonly cidrDeny: readonly string[];
  readonly upstreamProxyProtocol?: "1" | "2";
}

/** Adds `ggrok tcp` to the command line. */
export function addTcp(program: Command, io: Io, setCode: (code: number) => void): void {
  const options = program
    .command("tcp")
    .summary("give a TCP service a name at the relay, and a public port where it has them")
    .description(
      "give a TCP service a name at the relay, and a public port where it has them\n\ntarget: 5432, host:5432, tcp://host:port or unix:/path.sock. By name it is reached with `ggrok connect NAME` and a token, unless --public.",
    )
    .argument("<target>", "where the service listens")
    .option("--url <url>", "the name to have, or tcp://HOST:PORT for one public port")
    .option("--domain <name>", "the same as --url")
    .option("--subdomain <name>", "the same as --url")
    .option("--hostname <name>", "the same as --url")
    .option("--public", "let everyone who reaches the relay connect by name, without a token")
    .option("--cidr-allow <cidr>", "only these addresses may connect; repeatable or comma separated", appendCidrs, [])
    .option("--cidr-deny <cidr>", "these addresses may not connect; repeatable or comma separated", appendCidrs, [])
    .addOption(
      new Option("--upstream-proxy-protocol <version>", "tell the service who connects, by the PROXY protocol").choices(
        ["1", "2"],
      ),
    )
    .option("--pooling-enabled", "share the name with other agents that say so too")
    .option("--takeover", "take the name from another living agent with the same token")
    .option("--timeout <duration>", "longest silence of a connection, for instance 10m (default: none)")
    .option("--wait <duration>", "print no URL before the service accepts connections; --wait alone means --wait=60s");
  addServeOptions(options).action(async (target: string, flags: TcpFlags) => setCode(await runTcp(target, flags, io)));
}

/** `ggrok tcp <target>`: a tunnel that stays until a signal or an error that retrying cannot cure. Returns the exit code. */
async function runTcp(targetText: string, flags: TcpFlags, io: Io): Promise<number> {
  const target = parseFlag("target", () => parseTcpTarget(targetText));
  const { serveTunnels } = await import("../serve.ts");
  return await serveTunnels(readTunnelFlags(target, flags, { tcp: readPlan(flags) }), loadContext(flags, io), io);
}

function readPlan(flags: TcpFlags): TcpPlan {
  const { cidrAllow, cidrDeny, upstreamProxyProtocol } = flags;
  return {
    isPublic: flags.public === true,
    ...(cidrAllow.length > 0 && { cidrAllow }),
    ...(cidrDeny.length > 0 && { cidrDeny }),
    ...(upstreamProxyProtocol !== undefined && { proxyProtocol: upstreamProxyProtocol === "1" ? 1 : 2 }),
  };
}
