import type { RequestListener, Server } from "node:http";
import Fastify, { type FastifyInstance } from "fastify";

/** What the relay's own paths are made with. */
export interface AdminAppOptions {
  /** Makes the server around Fastify's handler: tunnel traffic leaves it before Fastify sees a request. */
  createServer(handler: RequestListener): Server;
}

/** The Fastify instance behind the reserved prefix. It never sees a visitor's request. */
export function createAdminApp(options: AdminAppOptions): FastifyInstance {
  const app = Fastify({
    logger: false,
    // A token's rights at most.
    bodyLimit: 16_384,
    exposeHeadRoutes: true,
    serverFactory: (handler) => options.createServer((req, res) => handler(req, res)),
  });
  app.addHook("onSend", async (_request, reply) => {
    reply.header("cache-control", "no-store").header("x-content-type-options", "nosniff");
  });
  return app;
}
