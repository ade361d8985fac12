import { brotliDecompressSync, constants, gunzipSync, inflateSync } from "node:zlib";
import { getField, type HeaderList } from "@ggrok/protocol";

/** A development server that was recognised by how it refuses a host that is not its own. */
export interface HostSignature {
  /** Name for people. */
  readonly server: string;
  /** It judges X-Forwarded-Host as well, so that field is left out. */
  readonly dropsForwardedHost: boolean;
}

/** An answer that may be such a refusal. */
interface Refusal {
  readonly status: number;
  /** Path of the request. */
  readonly path: string;
  readonly fields: HeaderList;
  /** The beginning of the body. */
  readonly body: Buffer;
}

const signature = (server: string, dropsForwardedHost = false): HostSignature => ({ server, dropsForwardedHost });
const VITE = signature("Vite");
const ANGULAR = signature("Angular");
const WEBPACK = signature("webpack-dev-server");
const NEXT = signature("Next.js");
const RAILS = signature("Rails", true);
const DJANGO = signature("Django");

/** True for the statuses that such a refusal has: only then is it worth looking at the body. */
export function mayBeHostRefusal(status: number): boolean {
  return status === 403 || status === 400;
}

/** Next refuses by the Origin alone, and with a bare 403: what it says of paths that are its own is enough. */
function isNextPath(path: string): boolean {
  return /^[^?#]*\/_next\//.test(path);
}

/** Recognises the development server that refused the host; undefined for every other answer. */
export function recogniseRefusal(refusal: Refusal): HostSignature | undefined {
  if (refusal.status === 403 && isNextPath(refusal.path)) return NEXT;
  const text = readText(refusal);
  if (refusal.status === 400) {
    return /<title>DisallowedHost/.test(text) && /Invalid HTTP_HOST header:/.test(text) ? DJANGO : undefined;
  }
  if (refusal.status !== 403) return undefined;
  if (/^\s*Blocked request\. This host \(|<h1>Blocked request\. This host \(/.test(text)) {
    return /angular\.json/.test(text) ? ANGULAR : VITE;
  }
  if (/^\s*Invalid Host header\s*$/.test(text)) return WEBPACK;
  return /^\s*Blocked hosts?: |<h1>Blocked hosts?: /.test(text) ? RAILS : undefined;
}

/** Next refuses its hot-reload socket with a word that is no HTTP. */
export function recogniseBrokenUpgrade(path: string, error: unknown): HostSignature | undefined {
  if (!isNextPath(path) || !(error instanceof Error) || !("rawPacket" in error)) return undefined;
  return Buffer.isBuffer(error.rawPacket) && error.rawPacket.toString("latin1").startsWith("Unauthorized")
    ? NEXT
    : undefined;
}

/** The body may be cut and compressed: what can be read of it is read. */
function readText(refusal: Refusal): string {
  const coding = getField(refusal.fields, "content-encoding")?.trim().toLowerCase() ?? "identity";
  try {
    const { body } = refusal;
    if (coding === "gzip") return gunzipSync(body, { finishFlush: constants.Z_SYNC_FLUSH }).toString("utf8");
    if (coding === "deflate") return inflateSync(body, { finishFlush: constants.Z_SYNC_FLUSH }).toString("utf8");
    if (coding === "br")
      return brotliDecompressSync(body, { finishFlush: constants.BROTLI_OPERATION_FLUSH }).toString("utf8");
    return coding === "identity" || coding === "" ? body.toString("utf8") : "";
  } catch {
    return "";
  }
}
