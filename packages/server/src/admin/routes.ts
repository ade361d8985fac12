import { SUPPORTED_PROTOCOLS } from "@ggrok/protocol";
import type { FastifyInstance } from "fastify";
import { parseHost, RESERVED_PREFIX } from "../listener/host.ts";
import { API_PREFIX, type ApiDeps, createApi } from "./api.ts";
import { Problem, sendProblem } from "./problem.ts";

/** What the relay's own paths look at. */
export interface AdminDeps extends ApiDeps {
  state(): "starting" | "ready" | "draining";
  /** The text of one scrape. */
  readonly metrics: { readonly contentType: string; read(): Promise<string> };
  /** Whether a front end may get a certificate for a host: it is the relay's own, or somebody has it. */
  isCertifiable(host: string): boolean;
}

/** Health, readiness, metrics, the admin API, and a word to those who open the agents' path by hand. */
export function addAdminRoutes(app: FastifyInstance, deps: AdminDeps): void {
  app.get(`${RESERVED_PREFIX}/health`, () => ({ status: "ok" }));
  app.get(`${RESERVED_PREFIX}/ready`, (_request, reply) => {
    const state = deps.state();
    if (state !== "ready") void reply.code(503).header("retry-after", "1");
    return { status: state };
  });
  app.get(`${RESERVED_PREFIX}/metrics`, async (request, reply) => {
    if (!deps.authenticator.isAdmin(request.raw.rawHeaders)) {
      // Without an admin token the path does not exist, rather than standing open.
      if (!deps.authenticator.hasAdmin) return sendProblem(reply, "ERR_GGROK_NOT_FOUND");
      return sendProblem(reply.header("www-authenticate", "Bearer"), "ERR_GGROK_ADMIN_UNAUTHORIZED");
    }
    return reply.type(deps.metrics.contentType).send(await deps.metrics.read());
  });
  app.get<{ Querystring: { domain?: unknown } }>(`${RESERVED_PREFIX}/tls-ask`, (request, reply) => {
    const { domain } = request.query;
    const host = typeof domain === "string" ? parseHost(domain) : undefined;
    if (host === undefined)
      return sendProblem(reply, "ERR_GGROK_REQUEST_MALFORMED", { message: "ask with ?domain=HOST" });
    return deps.isCertifiable(host) ? { domain: host } : sendProblem(reply, "ERR_GGROK_ENDPOINT_UNKNOWN");
  });
  void app.register(createApi(deps), { prefix: API_PREFIX });
  for (const path of [RESERVED_PREFIX, `${RESERVED_PREFIX}/`]) {
    app.get(path, (_request, reply) =>
      sendProblem(reply.header("upgrade", "websocket"), "ERR_GGROK_VERSION_UNSUPPORTED", {
        message: "agents connect here with a WebSocket upgrade",
        supported: SUPPORTED_PROTOCOLS,
      }),
    );
  }
  app.setNotFoundHandler((_request, reply) => sendProblem(reply, "ERR_GGROK_NOT_FOUND"));
  app.setErrorHandler((error: { statusCode?: number; message?: string }, _request, reply) => {
    if (error instanceof Problem) return sendProblem(reply, error.code, { message: error.message });
    if (error.statusCode === undefined || error.statusCode >= 500) return sendProblem(reply, "ERR_GGROK_INTERNAL");
    const { message } = error;
    return sendProblem(reply, "ERR_GGROK_REQUEST_MALFORMED", message === undefined ? {} : { message });
  });
}
