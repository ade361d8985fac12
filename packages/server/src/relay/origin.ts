import type { IncomingMessage } from "node:http";
import type { RelayConfig } from "../config/config.ts";
import { isLoopback } from "../config/values.ts";
import type { TrustedPeers } from "../ingress/forwarded.ts";
import { originOfRequest } from "../ingress/request-origin.ts";
import type { RelayOrigin } from "../registry/names.ts";

const HTTPS_PORT = 443;

/** The relay's own origin, as it is told to those who ask. */
export interface Origins {
  /** What the URLs are made of that an agent prints. */
  forAgent(req: IncomingMessage): RelayOrigin;
  /** Where whoever is invited finds the relay. */
  forInvite(req: IncomingMessage): string;
}

/** What is configured counts; where nothing is, the relay is where the request has reached it. */
export function createOrigins(config: PublicPlace, trusted: TrustedPeers): Origins {
  const { publicUrl } = config;
  const configured = publicUrl === undefined ? undefined : parseOrigin(publicUrl);
  const invite = publicOrigin(config);
  return {
    forAgent: (req) => configured ?? originOfRequest(req, trusted),
    forInvite(req) {
      if (invite !== undefined) return invite;
      const { scheme, authority } = originOfRequest(req, trusted);
      return `${scheme}://${authority}`;
    },
  };
}

/** What a configuration says of where others find the relay. */
type PublicPlace = Pick<RelayConfig, "publicUrl" | "domain" | "tls" | "port">;

/** Where others find the relay, as far as its configuration says so. Undefined where only whoever has reached it knows. */
export function publicOrigin({ publicUrl, domain, tls, port }: PublicPlace): string | undefined {
  if (publicUrl !== undefined) return publicUrl;
  if (domain === undefined || domain === "localhost") return undefined;
  // Without TLS of its own it stands behind a front end, whose port is the usual one.
  const hasOwnPort = tls.length > 0 && port !== HTTPS_PORT && port !== 0;
  return hasOwnPort ? `https://${domain}:${String(port)}` : `https://${domain}`;
}

/** Where the relay listens, as a URL that works on this machine; the public URL when one is configured. */
export function urlOfRelay({ publicUrl, domain, bind, tls }: RelayConfig, port: number): string {
  if (publicUrl !== undefined) return publicUrl;
  const isEverywhere = bind === undefined || bind === "0.0.0.0" || bind === "::" || isLoopback(bind);
  const host = domain ?? (isEverywhere ? "localhost" : bind.includes(":") ? `[${bind}]` : bind);
  return `${tls.length === 0 ? "http" : "https"}://${host}:${String(port)}`;
}

function parseOrigin(url: string): RelayOrigin {
  const { protocol, host } = new URL(url);
  return { scheme: protocol === "https:" ? "https" : "http", authority: host };
}
