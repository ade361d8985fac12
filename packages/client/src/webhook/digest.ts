import { createHmac, timingSafeEqual } from "node:crypto";

/** HMAC over several parts in a row. */
export function hmac(algorithm: string, key: string | Buffer, ...parts: readonly (string | Buffer)[]): Buffer {
  const mac = createHmac(algorithm, key);
  for (const part of parts) mac.update(part);
  return mac.digest();
}

/** Whether a text is the encoded digest; takes as long for one as for another of the same length. */
export function isDigest(given: string, digest: Buffer, encoding: "hex" | "base64"): boolean {
  const [a, b] = [
    Buffer.from(encoding === "hex" ? given.toLowerCase() : given),
    Buffer.from(digest.toString(encoding)),
  ];
  return a.length === b.length && timingSafeEqual(a, b);
}
