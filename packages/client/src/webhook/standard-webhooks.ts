import { randomBytes } from "node:crypto";
import { getField } from "@ggrok/protocol";
import { judgeAge, parseSeconds } from "./clock.ts";
import { hmac, isDigest } from "./digest.ts";
import { invalid, MISMATCH, type Scheme, type SignedMessage, VALID } from "./signed-message.ts";

const SECRET_PREFIX = "whsec_";
/** Svix's own names came first. */
const PREFIXES = ["webhook-", "svix-"];

/**
 * Standard Webhooks, which Svix began: `v1,BASE64` over `ID.SECONDS.body`, several of them apart by spaces. The secret is
 * base64 behind `whsec_`.
 */
export const standardWebhooks: Scheme = {
  signatureFields: PREFIXES.map((prefix) => `${prefix}signature`),
  verify(message, secret) {
    const { fields, body, nowMs } = message;
    const prefix = prefixOf(message);
    const [id, time] = [getField(fields, `${prefix}id`), getField(fields, `${prefix}timestamp`)];
    const seconds = parseSeconds(time);
    if (id === undefined || time === undefined || seconds === undefined)
      return invalid(`there is no ${prefix}id with a ${prefix}timestamp in seconds`);
    const digest = hmac("sha256", keyOf(secret), `${id}.${time}.`, body);
    const signatures = (getField(fields, `${prefix}signature`) ?? "").split(" ");
    const isMatch = signatures.some(
      (signature) => signature.startsWith("v1,") && isDigest(signature.slice(3), digest, "base64"),
    );
    return isMatch ? (judgeAge(seconds, nowMs) ?? VALID) : MISMATCH;
  },
  sign(message, secret) {
    const prefix = prefixOf(message);
    const id = getField(message.fields, `${prefix}id`) ?? `msg_${randomBytes(16).toString("hex")}`;
    const time = String(Math.floor(message.nowMs / 1_000));
    const digest = hmac("sha256", keyOf(secret), `${id}.${time}.`, message.body).toString("base64");
    return [
      [`${prefix}id`, id],
      [`${prefix}timestamp`, time],
      [`${prefix}signature`, `v1,${digest}`],
    ];
  },
  checkSecret(secret) {
    const key = secret.replace(SECRET_PREFIX, "");
    if (!/^[A-Za-z0-9+/]+={0,2}$/.test(key))
      throw new Error("the secret is whsec_ and base64, as the provider shows it");
  },
};

function prefixOf({ fields }: SignedMessage): string {
  return PREFIXES.find((prefix) => getField(fields, `${prefix}signature`) !== undefined) ?? "webhook-";
}

function keyOf(secret: string): Buffer {
  return Buffer.from(secret.startsWith(SECRET_PREFIX) ? secret.slice(SECRET_PREFIX.length) : secret, "base64");
}
