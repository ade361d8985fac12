import { encodeResponseHead, encodeTrailers, encodeU48, FLAG_FIN, FrameType } from "@ggrok/protocol";
import { frameOf, openPayload } from "./hostile-relay.ts";

/** A reproducible source of chance (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Who is played towards the one under test. */
export type Player = "relay" | "agent";

/**
 * Makes frames for one session: mostly such as a peer may send, with `mutation` as the chance of each to be changed in a
 * random place, cut, made longer than it says, or to be noise altogether.
 */
export class FrameFuzz {
  readonly #random: () => number;
  readonly #player: Player;
  readonly #mutation: number;
  #nextOpen = 2;
  /** Streams the one under test has opened, when an agent is played. */
  readonly streams: number[] = [];

  constructor(o: { random: () => number; player: Player; mutation: number }) {
    this.#random = o.random;
    this.#player = o.player;
    this.#mutation = o.mutation;
  }

  /** A message of some frames. */
  message(): { bytes: Buffer; frames: number } {
    const frames = 1 + this.#below(8);
    const parts: Buffer[] = [];
    for (let i = 0; i < frames; i += 1) {
      const frame = this.#frame();
      parts.push(this.#random() < this.#mutation ? this.#mutate(frame) : frame);
    }
    return { bytes: Buffer.concat(parts), frames };
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }

  #bytes(length: number): Buffer {
    const bytes = Buffer.alloc(length);
    for (let i = 0; i < length; i += 1) bytes[i] = this.#below(256);
    return bytes;
  }

  #stream(): number {
    if (this.#player === "agent") return this.streams[this.#below(this.streams.length)] ?? 2;
    return 2 + 2 * this.#below(Math.max(1, this.#nextOpen / 2 - 1));
  }

  #frame(): Buffer {
    const choice = this.#below(this.#player === "relay" ? 9 : 8);
    switch (choice) {
      case 0:
        return frameOf(FrameType.Ping, 0, 0, this.#bytes(8));
      case 1:
        return frameOf(FrameType.Pong, 0, 0, this.#bytes(8));
      case 2:
        return frameOf(FrameType.Window, 0, 0, encodeU48(1_000_000 + this.#below(1_000_000_000)));
      case 3:
        return frameOf(
          FrameType.Control,
          0,
          0,
          Buffer.from(JSON.stringify({ type: "news", value: this.#below(1_000) })),
        );
      case 4:
        return frameOf(FrameType.Window, 0, this.#stream(), encodeU48(300_000 + this.#below(1_000_000_000)));
      case 5:
        if (this.#player === "relay" || this.#random() < 0.5) return frameOf(FrameType.Ping, 0, 0, this.#bytes(8));
        return frameOf(
          FrameType.Head,
          0,
          this.#stream(),
          encodeResponseHead({ status: 100 + this.#below(99), reason: "", fields: ["X-A", "b"] }),
        );
      case 6:
        if (this.#random() < 0.9) return frameOf(FrameType.Ping, 0, 0, this.#bytes(8));
        return frameOf(FrameType.Reset, 0, this.#stream(), Buffer.from([0, this.#below(16), this.#below(2), 0x61]));
      case 7:
        if (this.#random() < 0.95) return frameOf(FrameType.Pong, 0, 0, this.#bytes(8));
        return frameOf(FrameType.Trailers, 0, this.#stream(), encodeTrailers(["X-T", "end"]));
      default: {
        const id = this.#nextOpen;
        this.#nextOpen += 2;
        return frameOf(FrameType.Open, this.#random() < 0.5 ? FLAG_FIN : 0, id, openPayload(`/get/${id}`));
      }
    }
  }

  #mutate(frame: Buffer): Buffer {
    const copy = Buffer.from(frame);
    switch (this.#below(6)) {
      case 0:
        copy[this.#below(Math.min(10, copy.length))] = this.#below(256);
        return copy;
      case 1:
        copy[this.#below(copy.length)] = this.#below(256);
        return copy;
      case 2:
        return copy.subarray(0, this.#below(copy.length));
      case 3:
        copy.writeUInt32BE([0, 1, 131_072, 131_073, 0x7fff_ffff, 0xffff_ffff][this.#below(6)] ?? 0, 0);
        return copy;
      case 4:
        return Buffer.concat([copy, this.#bytes(this.#below(64))]);
      default:
        return frameOf(this.#below(12), this.#below(4), this.#below(64), this.#bytes(this.#below(200)));
    }
  }
}
