import { readFileSync } from "node:fs";
import type { OpenTap } from "../forward/exchange-tap.ts";
import { WEBHOOK_BODY_BYTES_MAX } from "../webhook/verifier.ts";
import type { BodyRules } from "./body-collector.ts";
import { Capture, type CaptureSink } from "./capture.ts";
import { type DraftBodies, type DraftRecord, Outcome, type SignatureVerdict } from "./exchange-record.ts";
import type { ExchangeStore } from "./exchange-store.ts";
import { INSPECTOR_LIMITS } from "./limits.ts";
import { MemoryLedger } from "./memory-ledger.ts";
import { REDACTED, Redactor } from "./redact.ts";
import { TimeSlice } from "./time-slice.ts";
import { UnseenList } from "./unseen.ts";

const EMPTY = Buffer.alloc(0);

/** What judges the signatures of a tunnel's requests; undefined: nobody asked for it. */
export type VerifierOf = (
  tunnel: string,
) => ((record: DraftRecord, body: Buffer) => SignatureVerdict | undefined) | undefined;

/** What a recorder is made of. */
export interface RecorderOptions {
  readonly store: ExchangeStore;
  /** Public URL of a tunnel, once it has one. */
  readonly urlOf: (tunnel: string) => string | undefined;
  /** Names whose values are not written. */
  readonly redact?: readonly string[];
  readonly verifierOf?: VerifierOf;
  /** Bytes all open exchanges may have in memory; default {@link INSPECTOR_LIMITS}. */
  readonly heldBytesMax?: number;
  /** Bytes of a body that is kept; default {@link INSPECTOR_LIMITS}. */
  readonly bodyBytesMax?: number;
  /** After how many milliseconds an exchange is shown that has not ended; default {@link INSPECTOR_LIMITS}. */
  readonly shownAfterMs?: number;
}

/** Records the exchanges of an agent's tunnels. */
export class Recorder implements CaptureSink {
  readonly bodies: BodyRules;
  readonly redactor: Redactor;
  readonly #store: ExchangeStore;
  readonly #urlOf: (tunnel: string) => string | undefined;
  readonly #verifierOf: VerifierOf | undefined;
  /** Long exchanges with messages that have not been handed on. */
  readonly #withMessages = new Set<Capture>();
  /** Exchanges nobody can see yet: a handler that hangs is what one wants to look at. */
  readonly #unseen = new UnseenList<Capture>();
  readonly #shownAfterMs: number;
  #showing: NodeJS.Timeout | undefined;
  #timer: NodeJS.Timeout | undefined;
  #files = 0;
  /** What is about to come, and the exchange it repeats. */
  readonly #replays = new Map<string, string>();

  constructor(o: RecorderOptions) {
    this.#store = o.store;
    this.#urlOf = o.urlOf;
    this.#verifierOf = o.verifierOf;
    this.#shownAfterMs = o.shownAfterMs ?? INSPECTOR_LIMITS.SHOWN_AFTER_MS;
    this.redactor = new Redactor(o.redact ?? []);
    const prefix = `${Date.now().toString(36)}-${process.pid.toString(36)}`;
    const { BODY_BYTES_MAX, MEMORY_BODY_BYTES_MAX } = INSPECTOR_LIMITS;
    const bodyBytesMax = o.bodyBytesMax ?? BODY_BYTES_MAX;
    this.bodies = {
      ledger: new MemoryLedger(o.heldBytesMax ?? INSPECTOR_LIMITS.HELD_BYTES_MAX),
      folder: o.store.bodyFolder,
      // What the disk may hold the memory may not.
      bytesMax: o.store.bodyFolder === undefined ? Math.min(bodyBytesMax, MEMORY_BODY_BYTES_MAX) : bodyBytesMax,
      newName: () => `${prefix}-${++this.#files}`,
    };
  }

  /** What listens to the exchanges of one tunnel. */
  openTap(tunnel: string): OpenTap {
    return (head) => {
      const capture = new Capture(this, tunnel, head);
      this.#unseen.add(capture);
      if (this.#showing === undefined) this.#showLater(this.#shownAfterMs / 2);
      return capture;
    };
  }

  /** Says of what an exchange that is about to come is a replay. */
  expectReplay(id: string, originalId: string): void {
    this.#replays.set(id, originalId);
    // What is never recorded, in a tunnel that is not, must not stay for ever.
    const [oldest] = this.#replays.keys();
    if (this.#replays.size > INSPECTOR_LIMITS.REPLAYS_MAX * 10 && oldest !== undefined) this.#replays.delete(oldest);
  }

  /** Hands on what waits. The exchanges have ended before. */
  close(): void {
    clearTimeout(this.#showing);
    this.#flushMessages();
  }

  onOpen(capture: Capture): void {
    this.#unseen.remove(capture);
    const bodies = capture.keepBodies();
    const draft = this.#describe(capture);
    if (capture.stored !== undefined) {
      this.#store.amend({ ...draft, ...capture.stored }, bodies);
      return;
    }
    const record = this.#store.append(draft, bodies, []);
    if (record !== undefined) {
      capture.stored = { id: record.id, seq: record.seq };
      return;
    }
    // The store has counted it.
    capture.discard();
    this.#forget(capture);
  }

  onMessages(capture: Capture): void {
    this.#withMessages.add(capture);
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(() => this.#flushMessages(), INSPECTOR_LIMITS.FLUSH_INTERVAL_MS / 4);
    this.#timer.unref();
  }

  onRecord(capture: Capture): void {
    this.#unseen.remove(capture);
    const { stored } = capture;
    if (stored === undefined) {
      this.#store.take({ bytes: capture.bodyBytes, describe: () => this.#describeEnded(capture) });
      return;
    }
    this.#handOn(capture);
    const { draft, bodies } = this.#describeEnded(capture);
    this.#store.amend({ ...draft, ...stored }, bodies);
  }

  onDropped(capture: Capture): void {
    this.#forget(capture);
    this.#store.countDropped();
    const { stored } = capture;
    // Half an exchange is worse than none: one would take it for what was sent.
    if (stored !== undefined) this.#store.delete(stored.id, stored.seq);
  }

  #forget(capture: Capture): void {
    if (this.#replays.size > 0) this.#replays.delete(capture.id);
    this.#unseen.remove(capture);
    this.#withMessages.delete(capture);
  }

  #showLater(ms: number): void {
    this.#showing = setTimeout(() => this.#showUnseen(), ms);
    this.#showing.unref();
  }

  #showUnseen(): void {
    this.#showing = undefined;
    const latest = performance.now() - this.#shownAfterMs;
    const due = this.#unseen.all().filter(({ startedAt }) => startedAt <= latest);
    const slice = new TimeSlice();
    for (const capture of due.sort((a, b) => a.startedAt - b.startedAt)) {
      // Bodies are copied and digested: those of many at once would keep the tunnels waiting.
      if (slice.isOver) {
        this.#showLater(0);
        return;
      }
      if (capture.hasEnded) this.#unseen.remove(capture);
      else this.onOpen(capture);
    }
    if (this.#unseen.size > 0) this.#showLater(this.#shownAfterMs / 2);
  }

  #describe(capture: Capture): DraftRecord {
    const draft = capture.describe(this.#urlOf(capture.tunnel) ?? "");
    if (this.#replays.size === 0) return draft;
    const replayOf = this.#replays.get(draft.id);
    if (replayOf === undefined) return draft;
    if (draft.outcome !== Outcome.Open) this.#replays.delete(draft.id);
    return { ...draft, replayOf };
  }

  #describeEnded(capture: Capture): { draft: DraftRecord; bodies: DraftBodies } {
    const bodies = capture.keepBodies();
    const draft = this.#describe(capture);
    const signature = this.#judge(draft, bodies);
    return { draft: signature === undefined ? draft : { ...draft, signature }, bodies };
  }

  #judge(draft: DraftRecord, bodies: DraftBodies): SignatureVerdict | undefined {
    const verify = this.#verifierOf?.(draft.tunnel);
    if (verify === undefined || draft.kind === "websocket" || draft.kind === "upgrade") return undefined;
    const body = signedBody(draft, bodies.request);
    const verdict = verify(draft, body ?? EMPTY);
    if (body !== undefined || verdict === undefined || verdict.verdict === "unknown") return verdict;
    return {
      ...verdict,
      verdict: "unknown",
      reason: "what was signed is not known as it came: it is too large, or redacted",
    };
  }

  #flushMessages(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const capture of this.#withMessages) this.#handOn(capture);
  }

  #handOn(capture: Capture): void {
    this.#withMessages.delete(capture);
    const messages = capture.takeMessages();
    const { stored } = capture;
    if (messages.length > 0 && stored !== undefined) this.#store.addMessages(stored.id, messages, stored.seq);
  }
}

/** The bytes that were signed; undefined when they are not known as they came. */
function signedBody({ request }: DraftRecord, body: DraftBodies["request"]): Buffer | undefined {
  if (request.body.isRedacted === true || request.fields.includes(REDACTED)) return undefined;
  if (request.body.size === 0) return EMPTY;
  if (Buffer.isBuffer(body)) return body;
  if (body === undefined || body.size > WEBHOOK_BODY_BYTES_MAX) return undefined;
  try {
    return readFileSync(body.file);
  } catch {
    // The exchange was deleted while it went on.
    return undefined;
  }
}
