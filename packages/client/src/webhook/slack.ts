import { getField } from "@ggrok/protocol";
import { judgeAge, parseSeconds } from "./clock.ts";
import { hmac, isDigest } from "./digest.ts";
import { invalid, MISMATCH, type Scheme, VALID } from "./signed-message.ts";

const PREFIX = "v0=";

/** Slack: `X-Slack-Signature: v0=HEX` over `v0:SECONDS:body`, the seconds in `X-Slack-Request-Timestamp`. */
export const slack: Scheme = {
  signatureFields: ["x-slack-signature"],
  verify({ fields, body, nowMs }, secret) {
    const signature = getField(fields, "x-slack-signature") ?? "";
    const time = getField(fields, "x-slack-request-timestamp");
    const seconds = parseSeconds(time);
    if (time === undefined || seconds === undefined) return invalid("there is no X-Slack-Request-Timestamp in seconds");
    if (!signature.startsWith(PREFIX)) return invalid("X-Slack-Signature does not begin with v0=");
    if (!isDigest(signature.slice(PREFIX.length), hmac("sha256", secret, `v0:${time}:`, body), "hex")) return MISMATCH;
    return judgeAge(seconds, nowMs) ?? VALID;
  },
  sign({ body, nowMs }, secret) {
    const time = String(Math.floor(nowMs / 1_000));
    return [
      ["X-Slack-Request-Timestamp", time],
      ["X-Slack-Signature", PREFIX + hmac("sha256", secret, `v0:${time}:`, body).toString("hex")],
    ];
  },
};
