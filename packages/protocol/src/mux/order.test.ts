import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GgrokError, ResetCode } from "../errors.ts";
import { FLAG_FIN, FrameType } from "../wire/frame.ts";
import type { MuxStream } from "./mux-stream.ts";
import { Collector, OK } from "./pair.testing.ts";
import { openFrame, RawPeer, type SentFrame, turn, windowFrame } from "./raw-peer.testing.ts";

const STREAMS = 3;
const PLENTY = 2 ** 40;

/** What a stream has been told to send, in order and without windows, batches or queues. */
interface Twin {
  body: number;
  end: "no" | "fin" | "trailers";
  reset: ResetCode | undefined;
}

type Step =
  | { do: "write"; stream: number; bytes: number }
  | { do: "end" | "trailers" | "reset" | "stop" | "more"; stream: number }
  | { do: "moreForAll" | "block" | "unblock" | "turn" };

const stream = fc.nat({ max: STREAMS - 1 });
const bytes = fc.oneof(fc.integer({ min: 1, max: 200 }), fc.constantFrom(8_191, 8_192, 16_383, 16_384, 16_385, 65_536));
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant("write" as const), stream, bytes }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom("end" as const, "trailers" as const), stream }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constantFrom("reset" as const, "stop" as const, "stop" as const), stream }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("more" as const), stream }) },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constantFrom("moreForAll" as const, "block" as const, "unblock" as const, "turn" as const),
    }),
  },
);

/** Byte `at` of stream `id`: any byte lost, doubled or moved between streams shows. */
function byteOf(id: number, at: number): number {
  return (id * 37 + at) % 251;
}

function chunkOf(id: number, from: number, length: number): Buffer {
  const chunk = Buffer.allocUnsafe(length);
  for (let i = 0; i < length; i += 1) chunk[i] = byteOf(id, from + i);
  return chunk;
}

/** Compares one stream's frames with its twin. `isWhole`: nothing holds the sender up any more. */
function compare(id: number, twin: Twin, frames: readonly SentFrame[], isWhole: boolean): void {
  let body = 0;
  // FIN goes on the head when nothing stands behind it.
  let ended: Twin["end"] = ((frames[0]?.flags ?? 0) & FLAG_FIN) !== 0 ? "fin" : "no";
  let reset: number | undefined;
  expect(frames[0]?.type).toBe(FrameType.Head);
  for (const { type, flags, payload } of frames.slice(1)) {
    expect(reset, `frame type ${type} after RESET`).toBeUndefined();
    if (type === FrameType.Reset) {
      reset = payload.readUInt16BE(0);
      continue;
    }
    expect(ended, `frame type ${type} after the end`).toBe("no");
    if (type === FrameType.Trailers) {
      ended = "trailers";
      continue;
    }
    expect(type).toBe(FrameType.Data);
    expect(payload.equals(chunkOf(id, body, payload.length))).toBe(true);
    body += payload.length;
    if ((flags & FLAG_FIN) !== 0) ended = "fin";
  }
  expect(body).toBeLessThanOrEqual(twin.body);
  if (ended !== "no") {
    expect(ended).toBe(twin.end);
    // The end never overtakes DATA.
    expect(body).toBe(twin.body);
  }
  if (reset !== undefined) expect(reset).toBe(twin.reset);
  // Stop-sending leaves the answer whole; any other RESET may drop what was queued, but is sent itself.
  if (reset === ResetCode.StopSending) expect(ended).not.toBe("no");
  if (!isWhole) return;
  expect(reset).toBe(twin.reset);
  if (twin.reset === undefined || twin.reset === ResetCode.StopSending) {
    expect({ body, ended }).toEqual({ body: twin.body, ended: twin.end });
  }
}

describe("frames of a stream", () => {
  it("leave in the order of its naive twin, whatever is blocked, short of credit or reset", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 60, size: "large" }),
        fc.integer({ min: 0, max: 70_000 }),
        async (steps, credit) => {
          const streams: MuxStream[] = [];
          const peer = new RawPeer("dialler", {
            onStream: (opened) => {
              opened.handler = new Collector();
              streams.push(opened);
            },
          });
          const twins: Twin[] = [];
          const granted: number[] = [];
          for (let i = 0; i < STREAMS; i += 1) {
            peer.say(openFrame(2 * i + 2, credit));
            twins.push({ body: 0, end: "no", reset: undefined });
            granted.push(credit);
            streams[i]?.sendHead(OK);
          }
          let sessionLimit = 262_144;
          const check = (isWhole: boolean): void => {
            for (const [i, twin] of twins.entries()) {
              const id = 2 * i + 2;
              compare(
                id,
                twin,
                peer.sent.filter((f) => f.stream === id && f.type !== FrameType.Window),
                isWhole,
              );
            }
          };
          for (const s of steps) {
            if (!("stream" in s)) {
              if (s.do === "turn") await turn();
              else if (s.do === "block") peer.isBlocked = true;
              else if (s.do === "unblock") peer.unblock();
              else {
                sessionLimit += 4_097;
                peer.say(windowFrame(0, sessionLimit));
              }
              continue;
            }
            const twin = twins[s.stream];
            const mux = streams[s.stream];
            if (twin === undefined || mux === undefined) throw new Error("no such stream");
            if (s.do === "more") {
              const limit = (granted[s.stream] ?? 0) + 4_097;
              granted[s.stream] = limit;
              peer.say(windowFrame(mux.id, limit));
              continue;
            }
            if (twin.reset !== undefined) continue;
            if (s.do === "reset" || (s.do === "stop" && twin.end !== "no")) {
              const code = s.do === "reset" ? ResetCode.UpstreamReset : ResetCode.StopSending;
              twin.reset = code;
              mux.reset(code);
            } else if (twin.end === "no" && s.do === "write") {
              mux.write(chunkOf(mux.id, twin.body, s.bytes));
              twin.body += s.bytes;
            } else if (twin.end === "no" && s.do === "end") {
              mux.end();
              twin.end = "fin";
            } else if (twin.end === "no" && s.do === "trailers") {
              mux.sendTrailers(["x", "y"]);
              twin.end = "trailers";
            }
          }
          await turn();
          check(false);
          peer.unblock();
          peer.say(windowFrame(0, PLENTY), ...twins.map((_, i) => windowFrame(2 * i + 2, PLENTY)));
          for (let i = 0; i < 8; i += 1) await turn();
          check(true);
          expect(peer.ends).toEqual([]);
          peer.session.destroy(new GgrokError("ERR_GGROK_SESSION_LOST"));
        },
      ),
      { numRuns: 1_500 },
    );
  });
});

describe("a sender", () => {
  it("stays within every limit when it writes 64 KiB at a time, and uses it up", async () => {
    const raises = fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 1, max: 65_536 })), {
      minLength: 1,
      maxLength: 30,
    });
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 65_536 }), raises, async (credit, steps) => {
        let mux: MuxStream | undefined;
        const peer = new RawPeer("dialler", {
          onStream: (opened) => {
            opened.handler = new Collector();
            mux = opened;
          },
        });
        peer.say(openFrame(2, credit));
        mux?.sendHead(OK);
        const total = 32 * 65_536;
        for (let at = 0; at < total; at += 65_536) mux?.write(chunkOf(2, at, 65_536));
        mux?.end();
        const limits = { stream: credit, session: 262_144 };
        const received = (): Buffer => Buffer.concat(peer.sentOf(FrameType.Data).map((f) => f.payload));
        await turn();
        expect(received().length).toBe(Math.min(limits.stream, limits.session));
        for (const [ofSession, by] of steps) {
          if (ofSession) limits.session += by;
          else limits.stream += by;
          peer.say(ofSession ? windowFrame(0, limits.session) : windowFrame(2, limits.stream));
          await turn();
          expect(received().length).toBe(Math.min(limits.stream, limits.session, total));
        }
        peer.say(windowFrame(0, PLENTY), windowFrame(2, PLENTY));
        await turn();
        expect(received().equals(chunkOf(2, 0, total))).toBe(true);
        expect(peer.sent.at(-1)).toMatchObject({ type: FrameType.Data, flags: FLAG_FIN });
        peer.session.destroy(new GgrokError("ERR_GGROK_SESSION_LOST"));
      }),
      { numRuns: 60 },
    );
  });
});
