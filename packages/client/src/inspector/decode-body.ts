import { promisify } from "node:util";
import { brotliDecompress, gunzip, inflate, inflateRaw, zstdDecompress } from "node:zlib";
import { GgrokError } from "@ggrok/protocol";
import { INSPECTOR_LIMITS } from "./limits.ts";

type Decode = (body: Buffer) => Promise<Buffer>;

const options = { maxOutputLength: INSPECTOR_LIMITS.BODY_BYTES_MAX };
const unzip = promisify(gunzip);
const inflateZlib = promisify(inflate);
const inflateBare = promisify(inflateRaw);
const unbrotli = promisify(brotliDecompress);
const unzstd = promisify(zstdDecompress);

const DECODERS: Readonly<Record<string, Decode>> = {
  gzip: (body) => unzip(body, options),
  "x-gzip": (body) => unzip(body, options),
  // RFC 9110 section 8.4.1.2 means zlib, and some senders leave its wrapping out.
  deflate: (body) => (((body[0] ?? 0) & 0x0f) === 8 ? inflateZlib(body, options) : inflateBare(body, options)),
  br: (body) => unbrotli(body, options),
  zstd: (body) => unzstd(body, options),
};

/**
 * Undoes the content codings of a body, the last applied first.
 *
 * @param codings value of Content-Encoding; undefined: there are none
 * @throws GgrokError when a coding is not known, or the body is not what it says
 */
export async function decodeBody(body: Buffer, codings: string | undefined): Promise<Buffer> {
  let decoded = body;
  const names = (codings ?? "").split(",").map((name) => name.trim().toLowerCase());
  for (const name of names.reverse()) {
    if (name === "" || name === "identity") continue;
    const decode = DECODERS[name];
    if (decode === undefined) throw invalid(`the body is encoded as "${name}", which cannot be undone`);
    try {
      decoded = await decode(decoded);
    } catch (cause) {
      throw invalid(`the body is not valid ${name}: ${cause instanceof Error ? cause.message : String(cause)}`, cause);
    }
  }
  return decoded;
}

function invalid(message: string, cause?: unknown): GgrokError {
  return new GgrokError("ERR_GGROK_API_REQUEST_INVALID", { message, cause });
}
