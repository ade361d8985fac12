import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { getCACertificates } from "node:tls";
import { configError } from "./values.ts";

const PEM = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;

/**
 * What `--ca FILE` makes trusted: the certificates of the bundle beside those that are trusted anyway, NODE_EXTRA_CA_CERTS
 * and the system's where Node was told to use them included. Throws CONFIG_INVALID.
 */
export function readAuthorities(path: string): string[] {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw configError(`the certificate authorities in ${path} cannot be read`, cause);
  }
  const bundle = text.match(PEM) ?? [];
  if (bundle.length === 0) throw configError(`${path} has no certificate in PEM: it needs BEGIN CERTIFICATE lines`);
  for (const [index, pem] of bundle.entries()) {
    try {
      new X509Certificate(pem);
    } catch (cause) {
      throw configError(`certificate ${index + 1} in ${path} cannot be read`, cause);
    }
  }
  return [...getCACertificates("default"), ...bundle];
}
