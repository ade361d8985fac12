import type { WebhookPlan } from "../running-tunnel.ts";
import { parseHook } from "../webhook/hooks.ts";
import { WebhookVerifier } from "../webhook/verifier.ts";
import { parseFlag, UsageError } from "./exit-codes.ts";

/** Whether a webhook whose signature is not valid is refused. */
export const WEBHOOK_MODES = ["enforce", "report"] as const;

/** Flags about the signatures of webhooks. */
export interface WebhookFlags {
  readonly verifyWebhook?: readonly string[];
  readonly verifyWebhookMode?: (typeof WEBHOOK_MODES)[number];
}

/** Reads them, secrets included; nothing when none was given. */
export function readWebhookFlags(
  { verifyWebhook = [], verifyWebhookMode }: WebhookFlags,
  env: NodeJS.ProcessEnv,
): { webhook?: WebhookPlan } {
  if (verifyWebhook.length === 0) {
    if (verifyWebhookMode !== undefined) throw new UsageError("--verify-webhook-mode needs --verify-webhook");
    return {};
  }
  const hooks = verifyWebhook.map((text) => parseFlag("--verify-webhook", () => parseHook(text, env)));
  return { webhook: { verifier: new WebhookVerifier(hooks), isEnforced: verifyWebhookMode !== "report" } };
}
