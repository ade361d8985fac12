import { readFileSync } from "node:fs";
import {
  decodeControl,
  decodeGoAway,
  decodeMessage,
  decodeOpenPayload,
  decodeReset,
  decodeResponseHead,
  decodeTrailers,
  decodeU48,
} from "./decode.ts";
import { FrameType } from "./frame.ts";

/** Kinds of bytes that the vectors speak of: a whole message, or the payload of a frame. */
export type VectorKind = "message" | "open" | "head" | "trailers" | "reset" | "u48" | "goaway" | "control";

/** A frame as the vectors write it down. */
export interface VectorFrame {
  type: string;
  flags: number;
  stream: number;
  payload: string;
}

/** A message and the frames in it. */
export interface MessageVector {
  name: string;
  hex: string;
  frames: VectorFrame[];
}

/** A payload and what it says; `canonical: false` marks bytes that are read and never written. */
export interface PayloadVector {
  name: string;
  kind: Exclude<VectorKind, "message">;
  hex: string;
  value: unknown;
  canonical?: boolean;
}

/** Bytes that must be refused with `code`: `hex`, then `fill.hex` so many times, then `tail`. */
export interface ViolationVector {
  name: string;
  kind: VectorKind;
  code: string;
  hex: string;
  fill?: { hex: string; count: number };
  tail?: string;
}

/** Messages after which a session is over with `code`. */
export interface SessionVector {
  name: string;
  /** The end under test. */
  side: "dialler" | "listener";
  code: string;
  messages: string[];
  /** The end under test has opened stream 2 and owes its body. */
  opens?: boolean;
  /** Credit it grants on streams, in bytes. */
  window?: number;
  /** Its readers take nothing. */
  reads?: boolean;
  resumable?: boolean;
}

/** Reads a file of packages/protocol/vectors. */
export function readVectors<T>(file: string): T[] {
  return JSON.parse(readFileSync(new URL(`../../vectors/${file}`, import.meta.url), "utf8")) as T[];
}

/** The bytes of a violation. */
export function bytesOf(vector: ViolationVector): Buffer {
  const { hex, fill, tail = "" } = vector;
  return Buffer.from(hex + (fill === undefined ? "" : fill.hex.repeat(fill.count)) + tail, "hex");
}

/** Frame types by the names of protocol.md. */
export const TYPE_NAMES: readonly string[] = Object.keys(FrameType).map((name) => name.toUpperCase());

/** Frames of a message, as the vectors write them down. */
export function framesOf(message: Buffer): VectorFrame[] {
  const frames: VectorFrame[] = [];
  decodeMessage(message, (type, flags, stream, payload) => {
    frames.push({ type: TYPE_NAMES[type] ?? "?", flags, stream, payload: payload.toString("hex") });
  });
  return frames;
}

/** The decoder of each kind. */
export const DECODERS: Readonly<Record<VectorKind, (bytes: Buffer) => unknown>> = {
  message: framesOf,
  open: decodeOpenPayload,
  head: decodeResponseHead,
  trailers: decodeTrailers,
  reset: decodeReset,
  u48: decodeU48,
  goaway: decodeGoAway,
  control: (bytes) => decodeControl(bytes) ?? null,
};
