import { getField } from "@ggrok/protocol";
import { judgeAge, parseSeconds } from "./clock.ts";
import { hmac, isDigest } from "./digest.ts";
import { invalid, MISMATCH, type Scheme, VALID } from "./signed-message.ts";

/** Stripe: `Stripe-Signature: t=SECONDS,v1=HEX,…`, over `SECONDS.body`; several v1 while a secret is being replaced. */
export const stripe: Scheme = {
  signatureFields: ["stripe-signature"],
  verify({ fields, body, nowMs }, secret) {
    const items = (getField(fields, "stripe-signature") ?? "").split(",").map((item) => item.trim().split("=", 2));
    const time = items.find(([name]) => name === "t")?.[1];
    const seconds = parseSeconds(time);
    const signatures = items.flatMap(([name, value]) => (name === "v1" && value !== undefined ? [value] : []));
    if (time === undefined || seconds === undefined || signatures.length === 0)
      return invalid("Stripe-Signature has no t= and v1=");
    const digest = hmac("sha256", secret, `${time}.`, body);
    if (!signatures.some((signature) => isDigest(signature, digest, "hex"))) return MISMATCH;
    return judgeAge(seconds, nowMs, { mayBeAhead: true }) ?? VALID;
  },
  sign({ body, nowMs }, secret) {
    const time = Math.floor(nowMs / 1_000);
    return [["Stripe-Signature", `t=${time},v1=${hmac("sha256", secret, `${time}.`, body).toString("hex")}`]];
  },
};
