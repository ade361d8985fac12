import { GgrokError } from "@ggrok/protocol";
import type { Route } from "./api-route.ts";
import { describeEndpoint, describeTunnel, type OnlineTunnel, type TunnelView } from "./api-shapes.ts";

/** What the local API shows of the agent. */
export interface InspectorSource {
  isOnline(): boolean;
  version: string;
  relay: string;
  phase(): string;
  latencyMs(): number | undefined;
  tunnels(): readonly TunnelView[];
}

/** Status, tunnels and endpoints, in ngrok's shape. */
export function createAgentRoutes(source: InspectorSource): Route[] {
  const find = (name: string): OnlineTunnel => {
    const tunnel = onlineTunnels(source).find((t) => t.name === name);
    if (tunnel === undefined) {
      throw new GgrokError("ERR_GGROK_API_NOT_FOUND", { message: "tunnel not found", detail: { tunnel: name } });
    }
    return tunnel;
  };
  return [
    {
      method: "GET",
      path: "/api",
      run: ({ answer }) =>
        answer.json(200, {
          uri: "/api",
          status: "/api/status",
          tunnels: "/api/tunnels",
          endpoints: "/api/endpoints",
          requests: "/api/requests/http",
          har: "/api/requests/har",
          events: "/api/events",
        }),
    },
    {
      method: "GET",
      path: "/api/status",
      isOpen: true,
      run: ({ answer }) => answer.json(source.isOnline() ? 200 : 503, describeStatus(source)),
    },
    {
      method: "GET",
      path: "/api/tunnels",
      run: ({ answer }) =>
        answer.json(200, { tunnels: onlineTunnels(source).map(describeTunnel), uri: "/api/tunnels" }),
    },
    {
      method: "GET",
      path: "/api/tunnels/*",
      run: ({ answer, parts: [name = ""] }) => answer.json(200, describeTunnel(find(name))),
    },
    {
      method: "GET",
      path: "/api/endpoints",
      run: ({ answer }) =>
        answer.json(200, { endpoints: onlineTunnels(source).map(describeEndpoint), uri: "/api/endpoints" }),
    },
    {
      method: "GET",
      path: "/api/endpoints/*",
      run: ({ answer, parts: [name = ""] }) => answer.json(200, describeEndpoint(find(name))),
    },
  ];
}

/** The agent's state in a few words. */
export function describeStatus(source: InspectorSource): Record<string, unknown> {
  return {
    status: source.isOnline() ? "online" : "offline",
    session: source.phase(),
    relay: source.relay,
    version: source.version,
    latency_ms: source.latencyMs() ?? null,
  };
}

/** The tunnels that have their URL. */
export function onlineTunnels(source: InspectorSource): OnlineTunnel[] {
  return source.tunnels().flatMap((tunnel) => (tunnel.url === undefined ? [] : [{ ...tunnel, url: tunnel.url }]));
}
