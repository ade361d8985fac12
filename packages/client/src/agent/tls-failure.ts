const TEXT: Readonly<Record<string, string>> = {
  SELF_SIGNED_CERT_IN_CHAIN: "its certificate comes from an authority that this machine does not trust",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "its certificate comes from an authority that this machine does not trust",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "its certificate comes from an authority that this machine does not trust",
  UNABLE_TO_GET_ISSUER_CERT: "its certificate comes from an authority that this machine does not trust",
  DEPTH_ZERO_SELF_SIGNED_CERT: "its certificate is signed by itself alone",
  CERT_HAS_EXPIRED: "its certificate has expired, or this machine's clock is wrong",
  CERT_NOT_YET_VALID: "its certificate is not valid yet, or this machine's clock is wrong",
  ERR_TLS_CERT_ALTNAME_INVALID: "its certificate is for other names",
};

/** Whether the remedy is to name the authority with `--ca`. */
export function isUntrustedAuthority(code: string): boolean {
  return /^(SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_|DEPTH_ZERO_)/.test(code);
}

/** A failure of certificates in words, with what helps; undefined for any other. */
export function describeTlsFailure(code: string): string | undefined {
  const text = TEXT[code];
  if (text === undefined) return undefined;
  const remedy = isUntrustedAuthority(code) ? "give that authority's certificate with --ca; " : "";
  return `${text} (${code}): ${remedy}\`ggrok doctor\` shows the chain`;
}
