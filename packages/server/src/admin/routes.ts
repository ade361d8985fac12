import { ERRORS, type ErrorCode, SUPPORTED_PROTOCOLS } from "@ggrok/protocol";
import type { FastifyInstance, FastifyReply } from "fastify";
import type { Authenticator } from "../auth/authenticator.ts";
import { RESERVED_PREFIX } from "../listener/host.ts";

/** What the relay's own paths look at. */
export interface AdminDeps {
  readonly authenticator: Authenticator;
  state(): "starting" | "ready" | "draining";
  /** Undefined without an admin token: the path does not exist then, rather than standing open. */
  readonly metrics: { readonly contentType: string; read(): Promise<string> } | undefined;
}

/** Health, readiness, metrics, and a word to those who open the agents' path by hand. */
export function addAdminRoutes(app: FastifyInstance, deps: AdminDeps): void {
  app.get(`${RESERVED_PREFIX}/health`, () => ({ status: "ok" }));
  app.get(`${RESERVED_PREFIX}/ready`, (_request, reply) => {
    const state = deps.state();
    if (state !== "ready") void reply.code(503).header("retry-after", "1");
    return { status: state };
  });
  app.get(`${RESERVED_PREFIX}/metrics`, async (request, reply) => {
    if (deps.metrics === undefined) return sendProblem(reply, "ERR_GGROK_NOT_FOUND");
    if (!deps.authenticator.isAdmin(request.raw.rawHeaders)) {
      return sendProblem(reply.header("www-authenticate", "Bearer"), "ERR_GGROK_ADMIN_UNAUTHORIZED");
    }
    return reply.type(deps.metrics.contentType).send(await deps.metrics.read());
  });
  for (const path of [RESERVED_PREFIX, `${RESERVED_PREFIX}/`]) {
    app.get(path, (_request, reply) =>
      sendProblem(reply.header("upgrade", "websocket"), "ERR_GGROK_VERSION_UNSUPPORTED", {
        message: "agents connect here with a WebSocket upgrade",
        supported: SUPPORTED_PROTOCOLS,
      }),
    );
  }
  app.setNotFoundHandler((_request, reply) => sendProblem(reply, "ERR_GGROK_NOT_FOUND"));
  app.setErrorHandler((error: { statusCode?: number }, _request, reply) => {
    const isTheirs = error.statusCode !== undefined && error.statusCode < 500;
    return sendProblem(reply, isTheirs ? "ERR_GGROK_REQUEST_MALFORMED" : "ERR_GGROK_INTERNAL");
  });
}

function sendProblem(reply: FastifyReply, code: ErrorCode, more: Record<string, unknown> = {}): FastifyReply {
  const { status, message, nextStep } = ERRORS[code];
  return reply
    .code(status)
    .header("ggrok-error", code)
    .send({ code, message, nextStep, ...more });
}
