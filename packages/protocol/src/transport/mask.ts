import { randomFillSync } from "node:crypto";

/** FIN and opcode 2, RFC 6455 section 5.2. */
const FINAL_BINARY = 0x82;
const MASK_BIT = 0x80;
/** Random bytes fetched at once for masking keys. */
const KEY_POOL_BYTES = 8_192;
/** The payload starts here: behind the longest header with its key, and aligned for 32-bit words. */
const PAYLOAD_OFFSET = 16;

const keyPool = Buffer.alloc(KEY_POOL_BYTES);
let keyPoolUsed = KEY_POOL_BYTES;

/** Room {@link maskFrame} needs for a payload of this length. */
export function maskedBytes(payloadBytes: number): number {
  return PAYLOAD_OFFSET + payloadBytes;
}

/**
 * Builds a masked binary frame (RFC 6455 section 5.3) with a fresh random key.
 *
 * @param target holds {@link maskedBytes} bytes from `at`, which is a multiple of 8
 * @returns the frame, a view of `target`
 */
export function maskFrame(target: Buffer, at: number, head: Buffer, body: Buffer | undefined): Buffer {
  const length = head.length + (body === undefined ? 0 : body.length);
  const payload = at + PAYLOAD_OFFSET;
  target.set(head, payload);
  if (body !== undefined) target.set(body, payload + head.length);
  const key = nextKey();
  const start = payload - 4 - (length < 126 ? 2 : length < 65_536 ? 4 : 10);
  target[start] = FINAL_BINARY;
  if (length < 126) {
    target[start + 1] = MASK_BIT | length;
  } else if (length < 65_536) {
    target[start + 1] = MASK_BIT | 126;
    target.writeUInt16BE(length, start + 2);
  } else {
    target[start + 1] = MASK_BIT | 127;
    target.writeUInt32BE(0, start + 2);
    target.writeUInt32BE(length, start + 6);
  }
  target.writeInt32LE(key, payload - 4);
  xor(target, payload, length, key);
  return target.subarray(start, payload + length);
}

function nextKey(): number {
  if (keyPoolUsed === KEY_POOL_BYTES) {
    randomFillSync(keyPool);
    keyPoolUsed = 0;
  }
  const key = keyPool.readInt32LE(keyPoolUsed);
  keyPoolUsed += 4;
  return key;
}

/** XORs with the key, a 32-bit word at a time where memory is aligned; all platforms Node runs on are little-endian. */
function xor(target: Buffer, from: number, length: number, key: number): void {
  const at = target.byteOffset + from;
  const words = (at & 3) === 0 ? length >>> 2 : 0;
  if (words > 0) {
    const view = new Int32Array(target.buffer, at, words);
    for (let i = 0; i < words; i += 1) view[i] = (view[i] as number) ^ key;
  }
  for (let i = words << 2; i < length; i += 1) {
    target[from + i] = (target[from + i] as number) ^ (key >>> ((i & 3) << 3));
  }
}
