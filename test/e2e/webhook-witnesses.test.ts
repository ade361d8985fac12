import { Webhooks } from "@octokit/webhooks";
import { Webhook as StandardWebhook } from "standardwebhooks";
import Stripe from "stripe";
import { Webhook as SvixWebhook } from "svix";
import { expect, it } from "vitest";
import { parseHook } from "../../packages/client/src/webhook/hooks.ts";
import { type JudgedRequest, WebhookVerifier } from "../../packages/client/src/webhook/verifier.ts";

const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/** Bytes above 0x7F, a line separator, CR LF, no final newline. */
const BODY = '{ "z":1,\r\n "a" :  "caf\u00e9 \u2028 \ud83d\ude80" ,"n":1.0}\t ';
const stripe = new Stripe("sk_test_unused");
const github = new Webhooks({ secret: SECRET });

interface Witness {
  /** Signs as the provider does. */
  sign(): Promise<Record<string, string>> | Record<string, string>;
  /** Verifies as the app behind the tunnel does. @throws when it is not valid */
  verify(headers: Record<string, string>): Promise<unknown> | unknown;
}

const WITNESSES: Readonly<Record<string, Witness>> = {
  stripe: {
    sign: () => ({ "Stripe-Signature": stripe.webhooks.generateTestHeaderString({ payload: BODY, secret: SECRET }) }),
    verify: (headers) => stripe.webhooks.signature?.verifyHeader(BODY, headers["stripe-signature"] ?? "", SECRET),
  },
  github: {
    sign: async () => ({ "X-Hub-Signature-256": await github.sign(BODY) }),
    verify: async (headers) => {
      if (!(await github.verify(BODY, headers["x-hub-signature-256"] ?? ""))) throw new Error("not valid");
    },
  },
  svix: {
    sign: () => standardHeaders("svix-", new SvixWebhook(SECRET)),
    verify: (headers) => new SvixWebhook(SECRET).verify(BODY, headers),
  },
  "standard-webhooks": {
    sign: () => standardHeaders("webhook-", new StandardWebhook(SECRET)),
    verify: (headers) => new StandardWebhook(SECRET).verify(BODY, headers),
  },
};

function standardHeaders(prefix: string, webhook: Pick<StandardWebhook, "sign">): Record<string, string> {
  const at = new Date();
  return {
    [`${prefix}id`]: "msg_1",
    [`${prefix}timestamp`]: String(Math.floor(at.getTime() / 1_000)),
    [`${prefix}signature`]: webhook.sign("msg_1", at, BODY),
  };
}

function requestOf(headers: Record<string, string>, body = BODY): JudgedRequest {
  return { target: "/", fields: Object.entries(headers).flat(), body: Buffer.from(body), nowMs: Date.now() };
}

function headersOf(fields: readonly string[]): Record<string, string> {
  const headers: Record<string, string> = {};
  for (let i = 0; i < fields.length; i += 2) headers[(fields[i] ?? "").toLowerCase()] = fields[i + 1] ?? "";
  return headers;
}

it.each(Object.entries(WITNESSES))(
  "what %s's own library signs is valid here, and only that",
  async (provider, witness) => {
    const verifier = new WebhookVerifier([parseHook(`${provider}=${SECRET}`, {})]);
    const headers = await witness.sign();
    expect(verifier.judge(requestOf(headers))).toMatchObject({ provider, verdict: "valid" });
    expect(verifier.judge(requestOf(headers, `${BODY} `)).verdict).toBe("invalid");
  },
);

it.each(Object.entries(WITNESSES))(
  "what is signed here %s's own library takes, and only that",
  async (provider, witness) => {
    const headers = await witness.sign();
    const old = Object.fromEntries(Object.keys(headers).map((name) => [name, "0"]));
    const sign = (secret: string): Record<string, string> =>
      headersOf(new WebhookVerifier([parseHook(`${provider}=${secret}`, {})]).sign(requestOf(old)));
    await witness.verify(sign(SECRET));
    await expect((async () => witness.verify(sign("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")))()).rejects.toThrow();
  },
);
