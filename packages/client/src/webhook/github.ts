import { getField } from "@ggrok/protocol";
import { hmac, isDigest } from "./digest.ts";
import { invalid, MISMATCH, type Scheme, VALID } from "./signed-message.ts";

const PREFIX = "sha256=";

/** GitHub: `X-Hub-Signature-256: sha256=HEX`, over the body; there is no timestamp. */
export const github: Scheme = {
  signatureFields: ["x-hub-signature-256", "x-hub-signature"],
  verify({ fields, body }, secret) {
    const signature = getField(fields, "x-hub-signature-256");
    if (signature === undefined) return invalid("there is only a signature of SHA-1, which proves nothing any more");
    if (!signature.startsWith(PREFIX)) return invalid("X-Hub-Signature-256 does not begin with sha256=");
    return isDigest(signature.slice(PREFIX.length), hmac("sha256", secret, body), "hex") ? VALID : MISMATCH;
  },
  sign({ fields, body }, secret) {
    const old = getField(fields, "x-hub-signature");
    return [
      ["X-Hub-Signature-256", PREFIX + hmac("sha256", secret, body).toString("hex")],
      // GitHub sends both; one that no longer matches would only confuse.
      ...(old === undefined
        ? []
        : [["X-Hub-Signature", `sha1=${hmac("sha1", secret, body).toString("hex")}`] as const]),
    ];
  },
};
