import { z } from "zod";
import type { Owner } from "../../registry/endpoint.ts";
import type { Api, ApiDeps } from "../api.ts";
import { Problem, problemView } from "../problem.ts";
import { type SessionView, sessionView } from "../views.ts";

/** What a tunnel says of one of its sessions. */
export interface SessionRef {
  readonly id: string;
  /** Name of its token. */
  readonly token: string;
}

/** The sessions of the relay, as its operator sees them. */
export interface Sessions {
  list(): readonly SessionView[];
  /** The session of whoever holds an endpoint. */
  of(owner: Owner): SessionRef | undefined;
  /** Ends a session and tells its agent not to come back. False when there is no such session. */
  disconnect(id: string): boolean;
}

const params = z.object({ session: z.string() });

/** Agents that are connected, or away and held. */
export function addSessionRoutes(api: Api, { sessions }: ApiDeps): void {
  api.get(
    "/v1/sessions",
    {
      schema: {
        operationId: "listSessions",
        summary: "All sessions, those included whose agent is away",
        response: { 200: z.object({ sessions: z.array(sessionView) }) },
      },
    },
    () => ({ sessions: [...sessions.list()] }),
  );
  api.get(
    "/v1/sessions/:session",
    {
      schema: {
        operationId: "getSession",
        summary: "One session",
        params,
        response: { 200: sessionView, 404: problemView },
      },
    },
    (request) => {
      const found = sessions.list().find(({ id }) => id === request.params.session);
      if (found === undefined) throw new Problem("ERR_GGROK_NOT_FOUND");
      return found;
    },
  );
  api.delete(
    "/v1/sessions/:session",
    {
      schema: {
        operationId: "disconnectSession",
        summary: "End a session; its agent is told to stop",
        params,
        response: { 204: z.null().describe("ended"), 404: problemView },
      },
    },
    (request, reply) => {
      if (!sessions.disconnect(request.params.session)) throw new Problem("ERR_GGROK_NOT_FOUND");
      void reply.code(204);
      return null;
    },
  );
}
