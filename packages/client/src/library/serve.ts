import { once } from "node:events";
import { createServer, type IncomingMessage, Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { parseTarget } from "../forward/target.ts";
import type { FetchHandler, Listener, NodeListener, Servable, ServeOptions } from "../types.ts";
import { createFetchListener } from "./fetch-listener.ts";

/**
 * Gives an app of this process a public URL: an `http.Server`, a Node listener, an Express or Fastify app, or a fetch
 * handler. A server that does not listen yet is given a port on loopback; one that this function made is closed with
 * the listener.
 */
export async function serve(app: Servable, options: ServeOptions = {}): Promise<Listener> {
  const { server, isOurs } = await toServer(app);
  if (!server.listening) {
    server.listen({ host: "127.0.0.1", port: 0 });
    await once(server, "listening");
  }
  const release = async (): Promise<void> => {
    if (!isOurs) return;
    server.close();
    server.closeAllConnections();
  };
  const { port, address } = addressOf(server);
  const host = address === "::" || address === "0.0.0.0" ? "localhost" : address;
  try {
    const { openListener } = await import("./open-listener.ts");
    // The port differs at each start; the tunnel's name is what a chosen address is remembered under.
    return await openListener(
      parseTarget(`${host.includes(":") ? `[${host}]` : host}:${port}`),
      `serve:${options.name ?? ""}`,
      options,
      release,
    );
  } catch (error) {
    await release();
    throw error;
  }
}

async function toServer(app: Servable): Promise<{ server: Server; isOurs: boolean }> {
  if (app instanceof Server) return { server: app, isOurs: false };
  if (isFastify(app)) {
    await app.ready();
    return { server: app.server, isOurs: false };
  }
  if (typeof app === "object" && "fetch" in app) {
    const { fetch } = app;
    return { server: createServer(createFetchListener((request) => fetch.call(app, request))), isOurs: true };
  }
  if (isFetchHandler(app)) return { server: createServer(createFetchListener(app)), isOurs: true };
  if (typeof app !== "function")
    throw new TypeError(
      "serve() takes an http.Server, a request listener, an Express or Fastify app, or a fetch handler",
    );
  const listener = app as NodeListener;
  return {
    server: createServer((request: IncomingMessage, response: ServerResponse) => void listener(request, response)),
    isOurs: true,
  };
}

function isFastify(app: Servable): app is { readonly server: Server; ready(): PromiseLike<unknown> } {
  return (
    app !== null && "server" in app && "ready" in app && app.server instanceof Server && typeof app.ready === "function"
  );
}

/** A listener that answers names request and response; a function of fewer parameters can only mean the web's Request. */
function isFetchHandler(app: Servable): app is FetchHandler {
  return typeof app === "function" && app.length < 2;
}

function addressOf(server: Server): AddressInfo {
  const address = server.address();
  if (address === null || typeof address === "string") throw new TypeError("serve() needs a server on a TCP port");
  return address;
}
