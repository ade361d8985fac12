import { z } from "zod";
import type { Endpoint } from "../../registry/endpoint.ts";
import type { Api, ApiDeps } from "../api.ts";
import { Problem, problemView } from "../problem.ts";
import { type TunnelView, tunnelView } from "../views.ts";
import type { Sessions } from "./sessions.ts";

const params = z.object({ tunnel: z.string() });

/** Everything that is published. */
export function addTunnelRoutes(api: Api, { registry, sessions }: ApiDeps): void {
  const find = (id: string): Endpoint => {
    const found = registry.endpoints.find((endpoint) => idOf(endpoint) === id);
    if (found === undefined) throw new Problem("ERR_GGROK_NOT_FOUND");
    return found;
  };
  api.get(
    "/v1/tunnels",
    {
      schema: {
        operationId: "listTunnels",
        summary: "All tunnels, those included whose agent is away",
        response: { 200: z.object({ tunnels: z.array(tunnelView) }) },
      },
    },
    () => ({ tunnels: registry.endpoints.map((endpoint) => viewTunnel(endpoint, sessions)) }),
  );
  api.get(
    "/v1/tunnels/:tunnel",
    {
      schema: {
        operationId: "getTunnel",
        summary: "One tunnel",
        params,
        response: { 200: tunnelView, 404: problemView },
      },
    },
    (request) => viewTunnel(find(request.params.tunnel), sessions),
  );
  api.delete(
    "/v1/tunnels/:tunnel",
    {
      schema: {
        operationId: "disconnectTunnel",
        summary: "Take a tunnel away; its agents are told, and their other tunnels stay",
        params,
        response: { 204: z.null().describe("taken away"), 404: problemView },
      },
    },
    (request, reply) => {
      for (const { owner, bind } of find(request.params.tunnel).members) {
        registry.release(owner, bind);
        owner.unbound(bind, "ERR_GGROK_ENDED_BY_OPERATOR", undefined);
      }
      void reply.code(204);
      return null;
    },
  );
}

function viewTunnel(endpoint: Endpoint, sessions: Sessions): TunnelView {
  const owners = endpoint.members.map(({ owner }) => ({ owner, session: sessions.of(owner) }));
  const [first] = owners;
  return {
    id: idOf(endpoint),
    url: endpoint.url,
    kind: endpoint.url.startsWith("tcp:") ? "tcp" : "http",
    isOnline: endpoint.isOnline,
    owner: first?.owner.principal ?? "",
    token: first?.session?.token ?? "",
    sessions: owners.flatMap(({ owner, session }) =>
      session === undefined ? [] : [{ id: session.id, agent: owner.label, isAway: owner.isAway }],
    ),
  };
}

/** From the place, so that it is the same as long as the tunnel is. */
function idOf({ place }: Endpoint): string {
  return Buffer.from(`${place.host}${place.prefix}`).toString("base64url");
}
