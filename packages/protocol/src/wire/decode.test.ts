import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GgrokError, ResetCode } from "../errors.ts";
import { LIMITS } from "../limits.ts";
import {
  decodeControlMessage,
  decodeMessage,
  decodeOpenPayload,
  decodeReset,
  decodeResponseHead,
  decodeTrailers,
} from "./decode.ts";
import {
  encodeControl,
  encodeControlMessage,
  encodeOpenPayload,
  encodeReset,
  encodeResponseHead,
  encodeTrailers,
} from "./encode.ts";
import { FRAME_HEADER_BYTES, FrameType, putFrameHeader } from "./frame.ts";
import { decodeNaively } from "./naive-twin.testing.ts";
import { DECODERS, framesOf, type MessageVector, type PayloadVector, readVectors } from "./vectors.testing.ts";

const messages = readVectors<MessageVector>("messages.json");
const payloads = readVectors<PayloadVector>("payloads.json");

const frameArbitrary = fc.record({
  type: fc.integer({ min: 0, max: 10 }),
  flags: fc.integer({ min: 0, max: 1 }),
  stream: fc.integer({ min: 0, max: 0xffff_ffff }),
  payload: fc.uint8Array({ maxLength: 64 }),
});
const name = fc.stringMatching(/^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,12}$/);
const value = fc.stringMatching(/^[\t -~\x80-\xff]{0,20}$/);
const fields = fc.array(fc.tuple(name, value), { maxLength: 12 }).map((pairs) => pairs.flat());
const meta = fc.option(fc.dictionary(fc.string(), fc.jsonValue(), { noNullPrototype: true }), { nil: undefined });

function frame(type: number, flags: number, stream: number, payload: Uint8Array): Buffer {
  const header = Buffer.alloc(FRAME_HEADER_BYTES);
  putFrameHeader(header, 0, type as FrameType, flags, stream, payload.length);
  return Buffer.concat([header, payload]);
}

/** Runs a decoder; undefined when it refuses. Anything but a GgrokError fails the test. */
function attempt<T>(decode: () => T): T | undefined {
  try {
    return decode();
  } catch (error) {
    if (error instanceof GgrokError) return undefined;
    throw error;
  }
}

describe("decodeMessage", () => {
  it("returns the frames that were put together", () => {
    fc.assert(
      fc.property(fc.array(frameArbitrary, { minLength: 1, maxLength: 20 }), (frames) => {
        const message = Buffer.concat(frames.map((f) => frame(f.type, f.flags, f.stream, f.payload)));
        const seen: unknown[] = [];
        decodeMessage(message, (type, flags, stream, payload) => {
          seen.push({ type, flags, stream, payload: new Uint8Array(payload) });
        });
        expect(seen).toEqual(frames);
      }),
    );
  });

  it("agrees with its naive twin about any bytes, and about messages with one byte changed", () => {
    const changed = fc
      .tuple(
        fc.array(frameArbitrary, { minLength: 1, maxLength: 4 }),
        fc.nat(),
        fc.integer({ min: 0, max: 255 }),
        fc.nat({ max: 3 }),
      )
      .map(([frames, at, byte, cut]) => {
        const message = Buffer.concat(frames.map((f) => frame(f.type, f.flags, f.stream, f.payload)));
        message[at % message.length] = byte;
        return message.subarray(0, message.length - cut);
      });
    const any = fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes));
    fc.assert(
      fc.property(fc.oneof(any, changed), (message) => {
        expect(attempt(() => framesOf(message))).toEqual(decodeNaively(message));
      }),
      { numRuns: 3_000 },
    );
  });

  it("refuses every message cut short at any byte, and hands over only whole frames", () => {
    for (const vector of messages) {
      const whole = Buffer.from(vector.hex, "hex");
      const edges = new Set([whole.length]);
      for (let at = 0, i = 0; i < vector.frames.length; i += 1) {
        at += FRAME_HEADER_BYTES + (vector.frames[i]?.payload.length ?? 0) / 2;
        edges.add(at);
      }
      for (let cut = 0; cut < whole.length; cut += 1) {
        const seen: string[] = [];
        const decode = (): void =>
          decodeMessage(whole.subarray(0, cut), (_type, _flags, _stream, payload) => {
            seen.push(payload.toString("hex"));
          });
        if (edges.has(cut)) decode();
        else expect(decode, `${vector.name} at ${cut}`).toThrow(GgrokError);
        expect(seen).toEqual(vector.frames.slice(0, seen.length).map((f) => f.payload));
      }
    }
  });

  it("throws nothing but GgrokError for messages and payloads with any one byte changed", () => {
    for (const vector of messages) {
      const bytes = Buffer.from(vector.hex, "hex");
      forEachMutation(bytes, () => attempt(() => decodeMessage(bytes, () => {})));
    }
    for (const vector of payloads) {
      const bytes = Buffer.from(vector.hex, "hex");
      if (bytes.length > 300) continue;
      forEachMutation(bytes, () => attempt(() => DECODERS[vector.kind](bytes)));
    }
  });

  it("refuses payloads cut short without throwing anything else", () => {
    for (const vector of payloads) {
      const whole = Buffer.from(vector.hex, "hex");
      for (let cut = 0; cut < whole.length; cut += 1) {
        const decoded = attempt(() => DECODERS[vector.kind](whole.subarray(0, cut)));
        // A RESET has a text of any length; everything else is whole or wrong.
        if (vector.kind !== "reset" || cut < 3) expect(decoded, `${vector.name} at ${cut}`).toBeUndefined();
      }
    }
  });

  it("passes on what the sink throws and can be used again", () => {
    const message = Buffer.concat([frame(2, 0, 2, Buffer.from("a")), frame(2, 0, 4, Buffer.from("b"))]);
    const failure = new Error("sink");
    let calls = 0;
    expect(() =>
      decodeMessage(message, () => {
        calls += 1;
        throw failure;
      }),
    ).toThrow(failure);
    expect(calls).toBe(1);
    expect(framesOf(message)).toHaveLength(2);
  });

  it("can be entered again from the sink", () => {
    const inner = frame(2, 0, 4, Buffer.from("inner"));
    const message = Buffer.concat([frame(2, 0, 2, Buffer.from("a")), frame(2, 0, 2, Buffer.from("b"))]);
    const seen: string[] = [];
    decodeMessage(message, (_type, _flags, _stream, payload) => {
      decodeMessage(inner, (_t, _f, _s, p) => {
        seen.push(p.toString());
      });
      seen.push(payload.toString());
    });
    expect(seen).toEqual(["inner", "a", "inner", "b"]);
  });

  it("gives views, no copies", () => {
    const message = frame(2, 0, 2, Buffer.from("hello"));
    decodeMessage(message, (_type, _flags, _stream, payload) => {
      expect(payload.buffer).toBe(message.buffer);
      expect(payload.byteOffset).toBe(message.byteOffset + FRAME_HEADER_BYTES);
    });
    expect.assertions(2);
  });

  it("checks a frame's length before it looks at anything else", () => {
    const header = Buffer.alloc(FRAME_HEADER_BYTES);
    header.writeUInt32BE(0xffff_ffff, 0);
    header[8] = 99;
    expect(() => decodeMessage(header, () => {})).toThrow(/4294967295 bytes in a message with 0 left/);
  });
});

describe("heads", () => {
  it("come back as they were given: requests", () => {
    const http = fc.record({
      kind: fc.constantFrom("http" as const, "upgrade" as const),
      bind: fc.integer({ min: 0, max: 0xffff_ffff }),
      requestId: fc.stringMatching(/^[!-~]{1,40}$/),
      method: fc.stringMatching(/^[A-Z-]{1,20}$/),
      target: fc.stringMatching(/^[!-~\x80-\xff]{1,60}$/),
      version: fc.constantFrom("1.0" as const, "1.1" as const),
      fields,
    });
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0xffff_ffff }), http, meta, (credit, head, extra) => {
        const given = { ...head, ...(extra !== undefined && { meta: JSON.parse(JSON.stringify(extra)) }) };
        const decoded = decodeOpenPayload(encodeOpenPayload(credit, given));
        expect(decoded.credit).toBe(credit);
        const { meta: decodedMeta, ...rest } = decoded.head;
        expect(rest).toEqual(head);
        if (extra === undefined) expect(decodedMeta).toBeUndefined();
        else expect(decodedMeta).toEqual(withoutPrototypeKey(given.meta ?? {}));
      }),
    );
  });

  it("come back as they were given: answers and trailers", () => {
    fc.assert(
      fc.property(fc.integer({ min: 100, max: 999 }), value, fields, (status, reason, list) => {
        const head = { status, reason, fields: list };
        expect(decodeResponseHead(encodeResponseHead(head))).toEqual(head);
        expect(decodeTrailers(encodeTrailers(list))).toEqual(list);
      }),
    );
  });

  it("are refused by the encoder when they do not fit into a frame", () => {
    const wide = ["X", "a".repeat(131_072)];
    const open = {
      kind: "http",
      bind: 1,
      requestId: "r",
      method: "GET",
      target: "/",
      version: "1.1",
      fields: wide,
    } as const;
    const tooLarge = expect.objectContaining({ code: "ERR_GGROK_HEAD_INVALID" });
    expect(() => encodeOpenPayload(1, open)).toThrow(tooLarge);
    expect(() => encodeResponseHead({ status: 200, reason: "", fields: wide })).toThrow(tooLarge);
    expect(() => encodeTrailers(wide)).toThrow(tooLarge);
  });

  it("fit into a frame when they are as large as the relay's parser takes, with all their bytes escaped", () => {
    // 32 KiB of U+00FF double in UTF-8; each of 980 fields adds two pairs of quotes and two commas.
    const pairs = Array.from({ length: 980 }, () => ["x", "\u00ff".repeat(32)]).flat();
    const head = { kind: "http", bind: 1, requestId: "r", method: "GET", target: "/", version: "1.1" } as const;
    expect(encodeOpenPayload(1, { ...head, fields: pairs }).length).toBeLessThan(LIMITS.FRAME_PAYLOAD_BYTES_MAX);
  });
});

describe("encodeReset", () => {
  it("cuts the text at a character's edge", () => {
    for (const text of ["é".repeat(200), `x${"é".repeat(200)}`, "😀".repeat(80), `xy${"😀".repeat(80)}`]) {
      const payload = encodeReset(ResetCode.Internal, 0, text);
      expect(payload.length).toBeLessThanOrEqual(3 + LIMITS.RESET_TEXT_BYTES_MAX);
      expect(payload.length).toBeGreaterThan(LIMITS.RESET_TEXT_BYTES_MAX - 3);
      const { message } = decodeReset(payload);
      expect(text.startsWith(message)).toBe(true);
    }
  });
});

describe("decodeControlMessage", () => {
  const unbind = { type: "unbind", bind: 1 } as const;
  it("takes exactly one CONTROL frame of the session", () => {
    expect(decodeControlMessage(encodeControlMessage(unbind))).toEqual(unbind);
    const control = encodeControl(unbind);
    const wrong = [
      Buffer.concat([encodeControlMessage(unbind), encodeControlMessage(unbind)]),
      frame(FrameType.Control, 1, 0, control),
      frame(FrameType.Control, 0, 2, control),
      frame(FrameType.Data, 0, 0, control),
      Buffer.concat([encodeControlMessage(unbind), Buffer.from([0])]),
    ];
    for (const message of wrong) {
      expect(() => decodeControlMessage(message)).toThrow(
        expect.objectContaining({ code: "ERR_GGROK_PROTOCOL_VIOLATION" }),
      );
    }
  });

  it("is silent about a message of a later version", () => {
    expect(decodeControlMessage(frame(FrameType.Control, 0, 0, Buffer.from('{"type":"later"}')))).toBeUndefined();
  });
});

/** Flips each bit of each byte in turn, and sets each byte to the characters that mean something to JSON. */
function forEachMutation(bytes: Buffer, run: () => void): void {
  for (let at = 0; at < bytes.length; at += 1) {
    const original = bytes[at] ?? 0;
    const flipped = Array.from({ length: 8 }, (_, bit) => original ^ (1 << bit));
    for (const value of [...flipped, 0, 0xff, ...Buffer.from('"[]{},:\\')]) {
      bytes[at] = value;
      run();
    }
    bytes[at] = original;
  }
}

/** A schema never takes over a key that would change what an object is. */
function withoutPrototypeKey(object: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(object).filter(([key]) => key !== "__proto__"));
}
