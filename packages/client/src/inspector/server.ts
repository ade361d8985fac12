import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { GgrokError } from "@ggrok/protocol";
import type { ListenAddress } from "../config/values.ts";
import { createAgentRoutes, describeStatus, type InspectorSource, onlineTunnels } from "./agent-routes.ts";
import { matchPath, type Route } from "./api-route.ts";
import { describeTunnel } from "./api-shapes.ts";
import { EventFeed } from "./event-feed.ts";
import { createExchangeRoutes, describeStats } from "./exchange-routes.ts";
import type { ExchangeStore } from "./exchange-store.ts";
import { isLoopbackHost, isToken, judgeRequest, TOKEN_COOKIE } from "./guard.ts";
import { HttpAnswer } from "./http-answer.ts";
import { type Page, renderPage, renderPlainPage } from "./page.ts";

/** How many ports above the wanted one are tried when it is taken. */
const PORT_TRIES = 100;

/** What the local API is made of. */
export interface InspectorOptions {
  readonly address: ListenAddress;
  readonly source: InspectorSource;
  /** Missing: nothing is recorded, and there are no exchanges to show. */
  readonly store?: ExchangeStore;
  /** Further routes. */
  readonly routes?: readonly Route[];
  /** Asked at the first visit; undefined: it has not been built. */
  readonly loadPage?: () => Promise<Page | undefined>;
}

/** The running local API. */
export interface Inspector extends AsyncDisposable {
  /** For people: where other machines can reach it, it has the token that reading takes. */
  readonly url: string;
  /** For programs: without the token. */
  readonly origin: string;
  readonly token: string;
  close(): Promise<void>;
}

/** Starts the local API at the wanted address, or at the next free port; port 0 takes any. */
export async function startInspector(o: InspectorOptions): Promise<Inspector> {
  const { address } = o;
  const token = randomBytes(24).toString("base64url");
  const api = new LocalApi(o, token);
  const server = createServer({ maxHeaderSize: 16_384, requestTimeout: 60_000 }, (request, response) => {
    void api.respond(request, response);
  });
  server.on("clientError", (_error, socket) => socket.destroy());
  const port = await listen(server, address);
  // The agent lives by its tunnels: a forgotten browser tab keeps no process alive.
  server.unref();
  const host = address.host === "0.0.0.0" || address.host === "::" ? "127.0.0.1" : address.host;
  const origin = `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
  const close = async (): Promise<void> => {
    api.close();
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeAllConnections();
    await closed;
  };
  const url = isLoopbackHost(address.host) ? origin : `${origin}/?token=${token}`;
  return { url, origin, token, close, [Symbol.asyncDispose]: close };
}

async function listen(server: Server, address: ListenAddress): Promise<number> {
  const last = address.port === 0 ? 0 : Math.min(65_535, address.port + PORT_TRIES);
  for (let port = address.port; ; port += 1) {
    try {
      server.listen({ host: address.host, port, exclusive: true });
      await once(server, "listening");
      const bound = server.address();
      return typeof bound === "object" && bound !== null ? bound.port : port;
    } catch (error) {
      const isTaken = error instanceof Error && "code" in error && error.code === "EADDRINUSE";
      if (!isTaken || port >= last) throw error;
    }
  }
}

class LocalApi {
  readonly #options: InspectorOptions;
  readonly #token: string;
  readonly #routes: readonly Route[];
  readonly #events: EventFeed;
  #page: Promise<Page | undefined> | undefined;

  constructor(options: InspectorOptions, token: string) {
    this.#options = options;
    this.#token = token;
    const { source, store } = options;
    this.#events = new EventFeed({
      store,
      status: () => ({ ...describeStatus(source), tunnels: onlineTunnels(source).map(describeEndpointOf) }),
      stats: () => (store === undefined ? { store: "none", recording: false } : describeStats(store)),
    });
    this.#routes = [
      ...createAgentRoutes(source),
      ...(store === undefined ? [] : createExchangeRoutes(store)),
      ...(options.routes ?? []),
      { method: "GET", path: "/", run: ({ answer }) => this.#sendPage(answer) },
      {
        method: "GET",
        path: "/assets/*",
        run: ({ answer, parts: [name = ""] }) => this.#sendAsset(answer, name),
      },
      {
        method: "GET",
        path: "/api/events",
        run: ({ request, answer, query }) => this.#follow(request, answer, query),
      },
    ];
  }

  async respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const answer = new HttpAnswer(request, response);
    const [path = "/", search = ""] = splitTarget(request.url ?? "/");
    const matching = this.#routes.flatMap((route) => {
      const parts = matchPath(route.path, path);
      return parts === undefined ? [] : [{ route, parts }];
    });
    const method = request.method === "HEAD" ? "GET" : request.method;
    const found = matching.find(({ route }) => route.method === method);
    try {
      const query = new URLSearchParams(search);
      const refusal = judgeRequest(
        request,
        { ownHost: this.#options.address.host, token: this.#token },
        found?.route.isOpen,
      );
      if (refusal === "ERR_GGROK_API_TOKEN_REQUIRED" && this.#letIn(path, query, answer)) return;
      if (refusal !== undefined) throw new GgrokError(refusal);
      if (found === undefined && matching.length > 0) {
        answer.fail(new GgrokError("ERR_GGROK_API_METHOD_REFUSED"), { allow: allowed(matching) });
      } else if (found === undefined) {
        throw new GgrokError("ERR_GGROK_API_NOT_FOUND");
      } else {
        await found.route.run({ request, answer, query, parts: found.parts });
      }
    } catch (error) {
      if (response.headersSent) response.destroy();
      else answer.fail(error);
    } finally {
      request.resume();
    }
  }

  close(): void {
    this.#events.close();
  }

  /** A browser that was given the address with the token keeps it as a cookie, so that it stands in no further address. */
  #letIn(path: string, query: URLSearchParams, answer: HttpAnswer): boolean {
    if (path !== "/" || !isToken(query.get("token") ?? undefined, this.#token)) return false;
    answer.empty(303, {
      location: "/",
      "set-cookie": `${TOKEN_COOKIE}=${this.#token}; Path=/; HttpOnly; SameSite=Strict`,
    });
    return true;
  }

  async #sendPage(answer: HttpAnswer): Promise<void> {
    const page = await this.#loadPage();
    const html = page === undefined ? renderPlainPage(this.#options.source) : renderPage(page, this.#token);
    answer.send(200, "text/html; charset=utf-8", html);
  }

  async #sendAsset(answer: HttpAnswer, name: string): Promise<void> {
    const file = (await this.#loadPage())?.asset(name);
    if (file === undefined) throw new GgrokError("ERR_GGROK_API_NOT_FOUND");
    answer.send(200, file.type, file.content);
  }

  #loadPage(): Promise<Page | undefined> | undefined {
    this.#page ??= this.#options.loadPage?.();
    return this.#page;
  }

  #follow(request: IncomingMessage, answer: HttpAnswer, query: URLSearchParams): void {
    if (!this.#events.hasRoom) {
      throw new GgrokError("ERR_GGROK_LIMIT_REACHED", { message: "too many pages follow the events already" });
    }
    const last = request.headers["last-event-id"] ?? query.get("after");
    const response = answer.stream();
    if (request.method === "HEAD") return;
    this.#events.add(response, typeof last === "string" && /^\d{1,15}$/.test(last) ? Number(last) : undefined);
  }
}

function describeEndpointOf(tunnel: Parameters<typeof describeTunnel>[0]): Record<string, unknown> {
  const { name, public_url, proto, config } = describeTunnel(tunnel);
  return { name, public_url, proto, config };
}

function allowed(matching: readonly { route: Route }[]): string {
  const methods = matching.map(({ route }) => (route.method === "GET" ? "GET, HEAD" : route.method));
  return methods.join(", ");
}

/** Absolute-form targets, which only proxies get, name nothing here. */
function splitTarget(target: string): [string, string] {
  const at = target.indexOf("?");
  return at === -1 ? [target, ""] : [target.slice(0, at), target.slice(at + 1)];
}
