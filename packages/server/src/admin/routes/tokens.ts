import { z } from "zod";
import { findTokenRecord, inviteLink, issueToken } from "../../auth/issue.ts";
import { grantSchema } from "../../store/grant.ts";
import type { Api, ApiDeps } from "../api.ts";
import { Problem, problemView } from "../problem.ts";
import { tokenView, tokenWishSchema, viewToken } from "../views.ts";

const params = z.object({ token: z.string().describe("name or id") });
const issuedView = z.object({
  ...tokenView.shape,
  secret: z.string().describe("the token itself: shown here and never again"),
  invite: z.string().describe("for `ggrok login`"),
});

/** Named tokens: made, listed, revoked. */
export function addTokenRoutes(api: Api, { store, tokens, originOf }: ApiDeps): void {
  api.get(
    "/v1/tokens",
    {
      schema: {
        operationId: "listTokens",
        summary: "All tokens of the store",
        response: { 200: z.object({ tokens: z.array(tokenView) }) },
      },
    },
    () => {
      tokens.flushUses();
      return { tokens: store.tokens().map(viewToken) };
    },
  );
  api.post(
    "/v1/tokens",
    {
      schema: {
        operationId: "createToken",
        summary: "Make a token",
        body: tokenWishSchema,
        response: { 201: issuedView, 409: problemView },
      },
    },
    (request, reply) => {
      const { name, expiresInS, ...rights } = request.body;
      const now = Date.now();
      const expiresAt = expiresInS === undefined ? undefined : now + expiresInS * 1_000;
      const issued = issueToken(store, { name, grant: grantSchema.parse(rights), expiresAt, now });
      if (issued === undefined) throw new Problem("ERR_GGROK_NAME_TAKEN", `there is a token with the name ${name}`);
      tokens.reload();
      const invite = inviteLink(originOf(request.raw), issued.token);
      void reply.code(201);
      return { ...viewToken(issued.record), secret: issued.token, invite };
    },
  );
  api.get(
    "/v1/tokens/:token",
    {
      schema: {
        operationId: "getToken",
        summary: "One token",
        params,
        response: { 200: tokenView, 404: problemView },
      },
    },
    (request) => {
      tokens.flushUses();
      const record = findTokenRecord(store, request.params.token);
      if (record === undefined) throw new Problem("ERR_GGROK_NOT_FOUND");
      return viewToken(record);
    },
  );
  api.delete(
    "/v1/tokens/:token",
    {
      schema: {
        operationId: "revokeToken",
        summary: "Revoke a token: its sessions end at once",
        params,
        response: { 200: tokenView, 404: problemView },
      },
    },
    (request) => {
      const record = findTokenRecord(store, request.params.token);
      if (record === undefined || !store.removeToken(record.id)) throw new Problem("ERR_GGROK_NOT_FOUND");
      tokens.reload();
      return viewToken(record);
    },
  );
}
