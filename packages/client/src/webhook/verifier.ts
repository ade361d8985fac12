import { getField, type HeaderList } from "@ggrok/protocol";
import { setField } from "../forward/set-field.ts";
import { originForm } from "../forward/target.ts";
import type { WebhookHook } from "./hooks.ts";
import type { SignedMessage, Verdict } from "./signed-message.ts";

/** Bytes of a body that is checked: more than any provider sends. */
export const WEBHOOK_BODY_BYTES_MAX = 10_485_760;

/** Better first. */
const RANK: readonly Verdict["verdict"][] = ["valid", "skew", "invalid", "unknown"];

/** A request, as far as its signature goes. */
export interface JudgedRequest {
  readonly target: string;
  readonly fields: HeaderList;
  readonly body: Buffer;
  readonly nowMs: number;
  /** Public URL of the tunnel. */
  readonly url?: string;
}

/** Judges requests by the secrets of one tunnel, and signs them. */
export class WebhookVerifier {
  readonly #hooks: readonly WebhookHook[];

  constructor(hooks: readonly WebhookHook[]) {
    this.#hooks = hooks;
  }

  /** The best that any of the secrets makes of it: one may be about to replace another. */
  judge(request: JudgedRequest): Verdict {
    const message = toMessage(request);
    const verdicts = this.#hooks.map((hook) => judgeBy(hook, message));
    const [best] = verdicts.toSorted((a, b) => RANK.indexOf(a.verdict) - RANK.indexOf(b.verdict));
    return best ?? { provider: "none", verdict: "unknown", reason: "there is no secret" };
  }

  /** The fields with a new signature of the provider that signed before, else of the first. */
  sign(request: JudgedRequest): HeaderList {
    const message = toMessage(request);
    const hook = this.#hooks.find((candidate) => isSignedBy(candidate, message)) ?? this.#hooks[0];
    let fields = request.fields;
    for (const [name, value] of hook?.sign(message) ?? []) fields = setField(fields, name, value);
    return fields;
  }
}

function judgeBy(hook: WebhookHook, message: SignedMessage): Verdict {
  const { provider, scheme } = hook;
  if (!isSignedBy(hook, message)) {
    return { provider, verdict: "unknown", reason: `there is no ${scheme.signatureFields[0] ?? ""} field` };
  }
  if (message.body.length > WEBHOOK_BODY_BYTES_MAX) {
    const reason = `the body has ${message.body.length} bytes, ${WEBHOOK_BODY_BYTES_MAX} are checked`;
    return { provider, verdict: "unknown", reason };
  }
  return { provider, ...hook.verify(message) };
}

function isSignedBy({ scheme }: WebhookHook, { fields }: SignedMessage): boolean {
  return scheme.signatureFields.some((name) => getField(fields, name) !== undefined);
}

function toMessage({ target, fields, body, nowMs, url }: JudgedRequest): SignedMessage {
  const path = originForm(target);
  const prefix = getField(fields, "x-forwarded-prefix")?.replace(/\/+$/, "") ?? "";
  const scheme = getField(fields, "x-forwarded-proto");
  const host = getField(fields, "host");
  const bases = [
    ...(url !== undefined && URL.canParse(url) ? [new URL(url).origin] : []),
    ...(scheme !== undefined && host !== undefined ? [`${scheme}://${host}`] : []),
  ];
  return { urls: [...new Set(bases.map((base) => base + prefix + path))], fields, body, nowMs };
}
