import { configError, readSecret } from "../config/values.ts";
import { github } from "./github.ts";
import { parseRecipe } from "./recipe.ts";
import { shopify } from "./shopify.ts";
import type { Scheme } from "./signed-message.ts";
import { slack } from "./slack.ts";
import { standardWebhooks } from "./standard-webhooks.ts";
import { stripe } from "./stripe.ts";
import { twilio } from "./twilio.ts";

/** The providers that have a name. */
const SCHEMES: Readonly<Record<string, Scheme>> = {
  stripe,
  github,
  slack,
  shopify,
  twilio,
  svix: standardWebhooks,
  "standard-webhooks": standardWebhooks,
};

/** Shape of a recipe: `hmac(header=…)`. */
const RECIPE = /^hmac\((?<recipe>[^)]*)\)=(?<secret>.*)$/s;

/** A provider and the secret shared with it. The secret prints nowhere. */
export class WebhookHook {
  readonly provider: string;
  readonly scheme: Scheme;
  readonly #secret: string;

  constructor(provider: string, scheme: Scheme, secret: string) {
    this.provider = provider;
    this.scheme = scheme;
    this.#secret = secret;
  }

  /** Judges a message that carries a signature of this provider. */
  verify(message: Parameters<Scheme["verify"]>[0]): ReturnType<Scheme["verify"]> {
    return this.scheme.verify(message, this.#secret);
  }

  /** The fields of a new signature. */
  sign(message: Parameters<Scheme["sign"]>[0]): ReturnType<Scheme["sign"]> {
    return this.scheme.sign(message, this.#secret);
  }
}

/**
 * Reads a value of `--verify-webhook`: `stripe=env:STRIPE_SECRET`, or a recipe, `hmac(header=X-Signature)=file:secret`.
 *
 * @throws GgrokError CONFIG_INVALID
 */
export function parseHook(text: string, env: NodeJS.ProcessEnv): WebhookHook {
  const recipe = RECIPE.exec(text)?.groups;
  if (recipe !== undefined) {
    const scheme = check("hmac", () => parseRecipe(recipe["recipe"] ?? ""));
    return new WebhookHook("hmac", scheme, secretOf("hmac", recipe["secret"] ?? "", env));
  }
  const at = text.indexOf("=");
  const provider = (at === -1 ? text : text.slice(0, at)).trim().toLowerCase();
  const scheme = Object.hasOwn(SCHEMES, provider) ? SCHEMES[provider] : undefined;
  if (scheme === undefined) {
    const known = [...Object.keys(SCHEMES), "hmac(header=NAME,…)"].join(", ");
    throw configError(`"${provider}" is no provider whose webhooks can be verified: there are ${known}`);
  }
  if (at === -1) throw configError(`${provider} needs its secret: write ${provider}=env:NAME`);
  const secret = secretOf(provider, text.slice(at + 1), env);
  check(provider, () => scheme.checkSecret?.(secret));
  return new WebhookHook(provider, scheme, secret);
}

function secretOf(provider: string, text: string, env: NodeJS.ProcessEnv): string {
  const secret = check(provider, () => readSecret(text, env));
  if (secret === "") throw configError(`${provider}: the secret is empty`);
  return secret;
}

function check<T>(provider: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw configError(`${provider}: ${cause instanceof Error ? cause.message : String(cause)}`, cause);
  }
}
