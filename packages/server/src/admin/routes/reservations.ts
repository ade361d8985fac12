import { z } from "zod";
import { ownerOf } from "../../auth/issue.ts";
import { parsePlaceKey } from "../../registry/place-key.ts";
import type { Api, ApiDeps } from "../api.ts";
import { Problem, problemView } from "../problem.ts";
import { reservationView, reservationWishSchema, viewReservation } from "../views.ts";

const params = z.object({ name: z.string().describe("as in the list, percent-encoded") });

/** Names that belong to somebody beyond a session. */
export function addReservationRoutes(api: Api, { store, names }: ApiDeps): void {
  api.get(
    "/v1/reservations",
    {
      schema: {
        operationId: "listReservations",
        summary: "All reserved names",
        response: { 200: z.object({ reservations: z.array(reservationView) }) },
      },
    },
    () => {
      const tokens = store.tokens();
      return { reservations: store.reservations(Date.now()).map((found) => viewReservation(found, tokens)) };
    },
  );
  api.post(
    "/v1/reservations",
    {
      schema: {
        operationId: "reserve",
        summary: "Reserve a name for the owner of a token",
        body: reservationWishSchema,
        response: { 200: reservationView, 400: problemView, 404: problemView, 409: problemView },
      },
    },
    (request) => {
      const { name, token, expiresInS, force } = request.body;
      const place = parsePlaceKey(name, names);
      if (place === undefined) throw new Problem("ERR_GGROK_REQUEST_MALFORMED", `"${name}" cannot be reserved here`);
      const owner = ownerOf(store, token);
      if (owner === undefined) throw new Problem("ERR_GGROK_NOT_FOUND", `there is no token "${token}"`);
      const now = Date.now();
      const expiresAt = expiresInS === undefined ? undefined : now + expiresInS * 1_000;
      const found = store.reserve({ place, owner, source: "operator", now, expiresAt, isForced: force });
      if (found.owner !== owner) throw new Problem("ERR_GGROK_NAME_TAKEN", `${place} is reserved for ${found.owner}`);
      return viewReservation(found, store.tokens());
    },
  );
  api.delete(
    "/v1/reservations/:name",
    {
      schema: {
        operationId: "releaseReservation",
        summary: "Give a reserved name back; an agent that holds it keeps it until it leaves",
        params,
        response: { 204: z.null().describe("released"), 404: problemView },
      },
    },
    (request, reply) => {
      const place = parsePlaceKey(request.params.name, names);
      if (place === undefined || !store.release(place)) throw new Problem("ERR_GGROK_NOT_FOUND");
      void reply.code(204);
      return null;
    },
  );
}
