import type { Api, ApiDeps } from "../api.ts";
import { statusView } from "../views.ts";

/** The relay at a glance. */
export function addStatusRoute(api: Api, deps: Pick<ApiDeps, "status">): void {
  api.get(
    "/v1/status",
    { schema: { operationId: "getStatus", summary: "The relay at a glance", response: { 200: statusView } } },
    () => deps.status(),
  );
}
