import { getField } from "@ggrok/protocol";
import { hmac, isDigest } from "./digest.ts";
import { MISMATCH, type Scheme, VALID } from "./signed-message.ts";

/** Shopify: `X-Shopify-Hmac-Sha256: BASE64`, over the body; there is no timestamp. */
export const shopify: Scheme = {
  signatureFields: ["x-shopify-hmac-sha256"],
  verify({ fields, body }, secret) {
    const signature = getField(fields, "x-shopify-hmac-sha256") ?? "";
    return isDigest(signature.trim(), hmac("sha256", secret, body), "base64") ? VALID : MISMATCH;
  },
  sign({ body }, secret) {
    return [["X-Shopify-Hmac-Sha256", hmac("sha256", secret, body).toString("base64")]];
  },
};
