import type { IncomingMessage, ServerResponse } from "node:http";
import swagger from "@fastify/swagger";
import type { FastifyBaseLogger, FastifyInstance, FastifyPluginAsync, RawServerDefault } from "fastify";
import {
  jsonSchemaTransform,
  serializerCompiler,
  validatorCompiler,
  type ZodTypeProvider,
} from "fastify-type-provider-zod";
import type { Authenticator } from "../auth/authenticator.ts";
import type { TokenBook } from "../auth/token-book.ts";
import { RESERVED_PREFIX } from "../listener/host.ts";
import type { NameRules } from "../registry/names.ts";
import type { Registry } from "../registry/registry.ts";
import type { Store } from "../store/store.ts";
import { problemView, sendProblem } from "./problem.ts";
import { addReservationRoutes } from "./routes/reservations.ts";
import { addSessionRoutes, type Sessions } from "./routes/sessions.ts";
import { addStatusRoute } from "./routes/status.ts";
import { addTokenRoutes } from "./routes/tokens.ts";
import { addTunnelRoutes } from "./routes/tunnels.ts";
import type { StatusView } from "./views.ts";

/** What the admin API reads and changes. */
export interface ApiDeps {
  readonly authenticator: Authenticator;
  readonly tokens: TokenBook;
  readonly store: Store;
  readonly names: NameRules;
  readonly registry: Registry;
  readonly sessions: Sessions;
  readonly version: string;
  /** Origin for invite links, where nothing else is known the one the operator used. */
  originOf(req: IncomingMessage): string;
  status(): StatusView;
}

/** A Fastify instance whose routes are typed by their zod schemas. */
export type Api = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  ZodTypeProvider
>;

/** Everything below `/$$ggrok/api`: for the admin scope alone, and described by itself. */
export function createApi(deps: ApiDeps): FastifyPluginAsync {
  return async (app) => {
    app.setValidatorCompiler(validatorCompiler);
    app.setSerializerCompiler(serializerCompiler);
    app.addHook("onRequest", async (request, reply) => {
      if (deps.authenticator.isAdmin(request.raw.rawHeaders)) return undefined;
      // Without an admin token the paths do not exist, rather than standing open. Asked second: the first may just be made.
      if (!deps.authenticator.hasAdmin) return sendProblem(reply, "ERR_GGROK_NOT_FOUND");
      return sendProblem(reply.header("www-authenticate", "Bearer"), "ERR_GGROK_ADMIN_UNAUTHORIZED");
    });
    await app.register(swagger, {
      openapi: {
        openapi: "3.1.0",
        info: { title: "ggrok relay", description: "Administration of a ggrok relay.", version: deps.version },
        components: { securitySchemes: { admin: { type: "http", scheme: "bearer" } } },
        security: [{ admin: [] }],
      },
      transform: jsonSchemaTransform,
    });
    // Every route can answer with these: the right is asked for before it, its input is read before it.
    app.addHook("onRoute", ({ schema }) => {
      if (schema === undefined || schema.hide === true) return;
      const read = schema.body === undefined ? {} : { 400: problemView };
      schema.response = { ...(schema.response as Record<string, unknown>), ...read, 401: problemView };
    });
    const api = app.withTypeProvider<ZodTypeProvider>();
    addStatusRoute(api, deps);
    addTokenRoutes(api, deps);
    addReservationRoutes(api, deps);
    addSessionRoutes(api, deps);
    addTunnelRoutes(api, deps);
    app.get("/openapi.json", { schema: { hide: true } }, () => app.swagger());
  };
}

/** Where the API lives. */
export const API_PREFIX: string = `${RESERVED_PREFIX}/api`;
