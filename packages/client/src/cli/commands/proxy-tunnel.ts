import { ResetCode } from "@ggrok/protocol";
import { Agent } from "../../agent/agent.ts";
import { EventHub } from "../../agent/events.ts";
import { loadAgentId } from "../../agent/identity.ts";
import { describeSelf } from "../../compose.ts";
import { acceptStream } from "../../proxy/accept-stream.ts";
import type { ForwardProxy } from "../../proxy/proxy.ts";
import { CLIENT_VERSION } from "../../version.ts";
import { type Context, pickToken, pickWay, type RelayFlags, requireRelay } from "../context.ts";
import type { Io } from "../io.ts";

/** Flags that make the proxy a TCP tunnel, or say how. */
export interface ProxyTunnelFlags extends RelayFlags {
  readonly url?: string;
  readonly public?: boolean;
  readonly cidrAllow: readonly string[];
  readonly cidrDeny: readonly string[];
  readonly takeover?: boolean;
  /** False with `--no-retry`. */
  readonly retry: boolean;
  readonly proxy?: string;
  readonly ca?: string;
}

/** Name of the one tunnel of a command line, as ngrok's agent calls it. */
export const PROXY_TUNNEL_NAME = "command_line";

/** Makes the agent that hands every connection of a TCP tunnel to the proxy. Nothing happens before `agent.start()`. */
export async function composeProxyTunnel(
  o: { flags: ProxyTunnelFlags; url: string; proxy: ForwardProxy; onNotice: (text: string) => void },
  context: Context,
  io: Io,
): Promise<{ agent: Agent; events: EventHub }> {
  const { flags } = o;
  const relay = await requireRelay(context, flags, io);
  const token = pickToken(context, relay, flags, io);
  const way = await pickWay(context, flags, io);
  const events = new EventHub();
  const { stateDir } = context.paths;
  const agent = new Agent({
    relay: relay.value,
    userAgent: `ggrok/${CLIENT_VERSION}`,
    ...(token !== undefined && { token }),
    ...way,
    agentId: loadAgentId({ stateDir, folder: io.cwd, relayOrigin: relay.value.origin }),
    label: describeSelf(),
    retry: flags.retry,
    events,
    onNotice: o.onNotice,
    tunnels: [
      {
        name: PROXY_TUNNEL_NAME,
        target: "proxy",
        url: o.url,
        isTakeover: flags.takeover === true,
        // The tunnel is one of TCP: a relay that sends requests does not know its own kinds.
        onStream: (stream) => stream.reset(ResetCode.Refused, { notProcessed: true }),
        tcp: {
          options: {
            ...(flags.public === true && { public: true }),
            ...(flags.cidrAllow.length > 0 && { cidrAllow: flags.cidrAllow }),
            ...(flags.cidrDeny.length > 0 && { cidrDeny: flags.cidrDeny }),
          },
          onConnection: (stream, _head, fin) => o.proxy.handle(acceptStream(stream, fin)),
        },
      },
    ],
  });
  return { agent, events };
}
