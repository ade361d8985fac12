import { hash } from "node:crypto";
import type { CollectedBody } from "./body-collector.ts";
import type { BodyFile, HeaderPairs, RecordedBody } from "./exchange-record.ts";
import type { Redactor } from "./redact.ts";

/** Digest of nothing. */
const EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/** A body without bytes. */
export const EMPTY_BODY: RecordedBody = { size: 0, sha256: EMPTY_SHA256, isStored: true };

const EMPTY = Buffer.alloc(0);

/** What is written of a body, and what is said of it. */
export interface KeptBody {
  readonly body: RecordedBody;
  readonly content: Buffer | BodyFile | undefined;
}

/** Decides what is written of a body that has been collected. */
export function keepBody(
  redactor: Redactor,
  fields: HeaderPairs,
  collected: CollectedBody,
  isWhole: boolean,
): KeptBody {
  const { size, content } = collected;
  const partial = isWhole ? {} : { isPartial: true };
  if (size === 0) return { body: isWhole ? EMPTY_BODY : { ...EMPTY_BODY, ...partial }, content: undefined };
  const bytes = Buffer.isBuffer(content) ? content : undefined;
  const sha256 = collected.sha256 ?? hash("sha256", bytes ?? EMPTY);
  const asItCame: KeptBody = { body: { size, sha256, isStored: content !== undefined, ...partial }, content };
  if (redactor.isIdle) return asItCame;
  const fate = redactor.judge(fields, bytes ?? EMPTY);
  if (fate === "keep") return asItCame;
  const rewritten = fate === "rewrite" && bytes !== undefined ? redactor.body(fields, bytes) : undefined;
  // A digest of what must not be written would let it be guessed.
  if (rewritten === undefined) {
    return { body: { size, sha256: "", isStored: false, isRedacted: true, ...partial }, content: undefined };
  }
  if (bytes?.equals(rewritten) === true) return asItCame;
  const digest = hash("sha256", rewritten);
  return { body: { size, sha256: digest, isStored: true, isRedacted: true, ...partial }, content: rewritten };
}
