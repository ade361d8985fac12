import { describe, expect, it } from "vitest";
import type { ResetCode } from "../errors.ts";
import type { ControlMessage } from "../message/control.ts";
import type { OpenHead, ResponseHead } from "../message/exchange.ts";
import {
  encodeControl,
  encodeGoAway,
  encodeOpenPayload,
  encodeReset,
  encodeResponseHead,
  encodeTrailers,
  encodeU48,
} from "./encode.ts";
import { FRAME_HEADER_BYTES, FrameType, putFrameHeader } from "./frame.ts";
import {
  bytesOf,
  DECODERS,
  framesOf,
  type MessageVector,
  type PayloadVector,
  readVectors,
  TYPE_NAMES,
  type ViolationVector,
} from "./vectors.testing.ts";

const messages = readVectors<MessageVector>("messages.json");
const payloads = readVectors<PayloadVector>("payloads.json");
const violations = readVectors<ViolationVector>("violations.json");

type Encoders = Record<PayloadVector["kind"], (value: never) => Buffer>;
const ENCODERS: Encoders = {
  open: (value: { credit: number; head: OpenHead }) => encodeOpenPayload(value.credit, value.head),
  head: (value: ResponseHead) => encodeResponseHead(value),
  trailers: (value: string[]) => encodeTrailers(value),
  reset: (value: { code: ResetCode; notProcessed: boolean; message: string }) =>
    encodeReset(value.code, value.notProcessed ? 1 : 0, value.message),
  u48: (value: number) => encodeU48(value),
  goaway: (value: { lastId: number; code: ResetCode }) => encodeGoAway(value.lastId, value.code),
  control: (value: ControlMessage) => encodeControl(value),
};

describe("golden messages", () => {
  it("have every frame type", () => {
    expect(new Set(messages.flatMap((vector) => vector.frames.map((frame) => frame.type)))).toEqual(
      new Set(TYPE_NAMES),
    );
    expect(TYPE_NAMES).toHaveLength(11);
  });

  it.each(messages)("read as they are written down: $name", (vector) => {
    expect(framesOf(Buffer.from(vector.hex, "hex"))).toEqual(vector.frames);
  });

  it.each(messages)("are written as they are read: $name", (vector) => {
    const parts = vector.frames.map((frame) => {
      const payload = Buffer.from(frame.payload, "hex");
      const buffer = Buffer.alloc(3 + FRAME_HEADER_BYTES);
      const type = TYPE_NAMES.indexOf(frame.type) as FrameType;
      expect(putFrameHeader(buffer, 3, type, frame.flags, frame.stream, payload.length)).toBe(buffer.length);
      return Buffer.concat([buffer.subarray(3), payload]);
    });
    expect(Buffer.concat(parts).toString("hex")).toBe(vector.hex);
  });
});

describe("golden payloads", () => {
  it.each(payloads)("read as they are written down: $kind, $name", ({ kind, hex, value }) => {
    const decoded = DECODERS[kind](Buffer.from(hex, "hex"));
    const isLater = kind === "control" && value !== null;
    // Keys of a later version are dropped from messages, and the values name them to show it.
    if (isLater) expect(value).toMatchObject(decoded as object);
    else expect(decoded).toStrictEqual(value);
    if (isLater) expect(decoded).not.toHaveProperty("later");
  });

  it.each(payloads.filter((vector) => vector.canonical !== false))(
    "are written as they are read: $kind, $name",
    ({ kind, hex, value }) => {
      expect(ENCODERS[kind](value as never).toString("hex")).toBe(hex);
    },
  );
});

describe("violations", () => {
  it.each(violations)("are refused: $kind, $name", (vector) => {
    expect(() => DECODERS[vector.kind](bytesOf(vector))).toThrow(
      expect.objectContaining({ name: "GgrokError", code: vector.code }),
    );
  });

  it("at the limit are none", () => {
    const largest = Buffer.alloc(FRAME_HEADER_BYTES + 131_072);
    putFrameHeader(largest, 0, FrameType.Head, 0, 2, 131_072);
    expect(framesOf(largest)).toHaveLength(1);
    const data = Buffer.alloc(FRAME_HEADER_BYTES + 65_536);
    putFrameHeader(data, 0, FrameType.Data, 0, 2, 65_536);
    expect(framesOf(data)).toHaveLength(1);
  });
});
