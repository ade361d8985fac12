import { isIP, type Socket } from "node:net";
import { connect, type DetailedPeerCertificate, type TLSSocket } from "node:tls";
import { isUntrustedAuthority } from "../agent/tls-failure.ts";
import { type CertificateView, FailureExit, type Finding, failed, fine } from "./finding.ts";

/** Longest chain that is looked at; a loop of two certificates would have no end. */
const CHAIN_MAX = 10;
const SOON_MS = 14 * 86_400_000;

/** A TLS connection with whatever certificate came: it is judged, not trusted. No secret may go through it. */
export interface InspectedTls {
  readonly socket: TLSSocket;
  readonly finding: Finding;
}

/** Speaks TLS and looks at the chain. Rejects where there is no TLS at all. */
export function inspectTls(
  socket: Socket,
  o: { hostname: string; ca?: readonly string[]; now: Date; signal: AbortSignal },
): Promise<InspectedTls> {
  return new Promise((resolve, reject) => {
    const secure = connect({
      socket,
      host: o.hostname,
      ...(isIP(o.hostname) === 0 && { servername: o.hostname }),
      ...(o.ca !== undefined && { ca: [...o.ca] }),
      ALPNProtocols: ["http/1.1"],
      // What is wrong with it is to be shown, not only felt.
      rejectUnauthorized: false,
    });
    const abort = (): void => {
      reject(o.signal.reason);
      secure.destroy();
    };
    o.signal.addEventListener("abort", abort, { once: true });
    secure.on("error", reject);
    secure.once("close", () => reject(new Error("the connection was closed during the handshake")));
    secure.once("secureConnect", () => {
      o.signal.removeEventListener("abort", abort);
      resolve({ socket: secure, finding: judge(secure, o.hostname, o.now) });
    });
  });
}

function judge(socket: TLSSocket, hostname: string, now: Date): Finding {
  const chain = chainOf(socket);
  const [own] = chain;
  const shown = chain.map((c) => `${c.subject} (by ${c.issuer}, until ${c.validTo.slice(0, 10)})`).join(" < ");
  const version = socket.getProtocol() ?? "TLS";
  if (socket.authorized) {
    const leftMs = own === undefined ? Number.POSITIVE_INFINITY : Date.parse(own.validTo) - now.getTime();
    const finding = fine("tls", `${version}; ${shown}`);
    if (leftMs > SOON_MS) return { ...finding, chain };
    const fix = "Renew the relay's certificate.";
    return { ...finding, status: "warning", message: `${version}; ends soon: ${shown}`, fix, chain };
  }
  const code = codeOf(socket.authorizationError);
  return { ...failed("tls", `${code}; ${shown}`, fixFor(code, hostname, own), FailureExit.Unreachable), chain };
}

function fixFor(code: string, hostname: string, own: CertificateView | undefined): string {
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") {
    return `This certificate is not for ${hostname}: check the relay's name, or whether something else answers in its place (a login page of the network, a proxy).`;
  }
  if (/EXPIRED|NOT_YET_VALID/.test(code)) {
    return "Renew the certificate; or, where the clock hop says so, set this machine's clock.";
  }
  const issuer = own?.issuer ?? "its issuer";
  if (isUntrustedAuthority(code)) {
    return `This machine does not trust "${issuer}". If that is your company's inspection or a private authority, get its certificate as PEM from whoever runs it and give it with --ca FILE (or NODE_EXTRA_CA_CERTS; NODE_USE_SYSTEM_CA=1 where the system trusts it). If you do not know it, do not go on: somebody reads along.`;
  }
  return "Check the relay's certificate and the chain it sends.";
}

function chainOf(socket: TLSSocket): CertificateView[] {
  const chain: CertificateView[] = [];
  let at: DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
  while (at?.subject !== undefined && chain.length < CHAIN_MAX) {
    chain.push({
      subject: nameOf(at.subject),
      issuer: nameOf(at.issuer),
      validFrom: toIso(at.valid_from),
      validTo: toIso(at.valid_to),
    });
    const next: DetailedPeerCertificate | undefined = at.issuerCertificate;
    at = next === undefined || next.fingerprint256 === at.fingerprint256 ? undefined : next;
  }
  return chain;
}

/** Common name and organisation, whichever there are. */
function nameOf(name: NodeJS.Dict<string | string[]>): string {
  const parts = [name["CN"], name["O"]].flat().filter((part) => part !== undefined && part !== "");
  return [...new Set(parts)].join(", ") || "a name that is empty";
}

function toIso(text: string): string {
  const time = Date.parse(text);
  return Number.isNaN(time) ? text : new Date(time).toISOString();
}

function codeOf(error: unknown): string {
  if (error instanceof Error && "code" in error) return String(error.code);
  return error === null || error === undefined ? "not authorized" : String(error);
}
