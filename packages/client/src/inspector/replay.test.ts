import { ResetCode, type StreamReset } from "@ggrok/protocol";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Forwarder } from "../forward/forwarder.ts";
import type { DraftRecord } from "./exchange-record.ts";
import { INSPECTOR_LIMITS } from "./limits.ts";
import { MemoryStore } from "./memory-store.ts";
import { createReplayer, type Replayer } from "./replay.ts";

type OnStream = Forwarder["onStream"];

function replayerOf(body: Buffer, onStream: OnStream, more: Partial<DraftRecord["request"]> = {}): Replayer {
  const store = new MemoryStore();
  const draft: DraftRecord = {
    id: "one",
    tunnel: "web",
    url: "",
    kind: "http",
    request: {
      method: "POST",
      target: "/",
      version: "1.1",
      fields: ["Host", "a"],
      trailers: [],
      body: { size: body.length, sha256: "", isStored: true },
      ...more,
    },
    timings: { receivedAt: 0, endMs: 0 },
    outcome: "complete",
    isReplayable: true,
    messages: 0,
  };
  store.append(draft, { request: body, response: undefined }, []);
  const forwarder: Forwarder = { onStream, openExchanges: 0, close: async () => {}, destroy() {} };
  return createReplayer({
    store,
    tunnels: () => ["web", "other"],
    forwarderOf: () => forwarder,
    openTap: () => undefined,
    markReplay() {},
  });
}

describe("a replay", () => {
  it("hands the body over only as fast as it is taken", async () => {
    const body = Buffer.alloc(200_000, "x");
    const taken: number[] = [];
    let isFull = false;
    const replayer = replayerOf(body, (stream, _head, fin) => {
      expect(fin).toBe(false);
      stream.handler = {
        onData(chunk, last) {
          expect(isFull).toBe(false);
          taken.push(chunk.length);
          isFull = !last;
          if (last) {
            stream.sendHead({ status: 200, reason: "", fields: [] });
            stream.end();
          } else {
            setImmediate(() => {
              isFull = false;
              stream.resume();
            });
          }
          return last;
        },
        onTrailers() {},
        onReset() {},
        onDrain() {},
      };
    });
    const [replayed] = await replayer.replay({ id: "one" });
    expect(replayed).toMatchObject({ status: 200 });
    expect(taken.reduce((sum, bytes) => sum + bytes)).toBe(200_000);
    expect(taken.length).toBeGreaterThan(3);
  });

  it("stops sending when the app has answered and wants no more", async () => {
    let chunks = 0;
    const replayer = replayerOf(Buffer.alloc(500_000), (stream) => {
      stream.handler = {
        onData() {
          chunks += 1;
          stream.sendHead({ status: 413, reason: "", fields: [] });
          stream.end();
          stream.reset(ResetCode.StopSending);
          return true;
        },
        onTrailers() {},
        onReset() {},
        onDrain() {},
      };
    });
    expect((await replayer.replay({ id: "one" }))[0]).toMatchObject({ status: 413 });
    expect(chunks).toBe(1);
  });

  it("sends each of several after the one before", async () => {
    let open = 0;
    const replayer = replayerOf(Buffer.alloc(0), (stream, _head, fin) => {
      expect([++open, fin]).toEqual([1, true]);
      setImmediate(() => {
        open -= 1;
        stream.sendHead({ status: 204, reason: "", fields: [] }, true);
      });
    });
    const replays = await replayer.replay({ id: "one", times: 3 });
    expect(replays.map(({ status }) => status)).toEqual([204, 204, 204]);
    expect(new Set(replays.map(({ id }) => id)).size).toBe(3);
  });

  it("names the ways there are when the tunnel is gone", async () => {
    const replayer = replayerOf(Buffer.alloc(0), () => {});
    await expect(replayer.replay({ id: "one", tunnel: "gone" })).rejects.toThrow(/no tunnel "gone".*web, other/);
  });

  it("is not sent when its body broke off, unless it gets another", async () => {
    const body = { size: 2, sha256: "", isStored: true, isPartial: true };
    const answer: OnStream = (stream) =>
      setImmediate(() => stream.sendHead({ status: 200, reason: "", fields: [] }, true));
    const replayer = replayerOf(Buffer.from("ha"), answer, { body });
    await expect(replayer.replay({ id: "one" })).rejects.toMatchObject({ code: "ERR_GGROK_EXCHANGE_NOT_REPLAYABLE" });
    const edit = { body_base64: Buffer.from("half").toString("base64") };
    expect((await replayer.replay({ id: "one", edit }))[0]).toMatchObject({ status: 200 });
  });

  it("cannot be signed anew without a secret", async () => {
    const replayer = replayerOf(Buffer.alloc(0), () => {});
    await expect(replayer.replay({ id: "one", resign: true })).rejects.toThrow(/--verify-webhook/);
  });
});

describe("an answer that does not end", () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  async function waited(fields: readonly string[]): Promise<{ replayed: unknown; resets: StreamReset[] }> {
    const resets: StreamReset[] = [];
    const replayer = replayerOf(Buffer.alloc(0), (stream) => {
      stream.handler = { onData: () => true, onTrailers() {}, onDrain() {}, onReset: (reset) => resets.push(reset) };
      stream.sendHead({ status: 200, reason: "", fields });
    });
    const replays = replayer.replay({ id: "one" });
    await vi.advanceTimersByTimeAsync(INSPECTOR_LIMITS.REPLAY_WAIT_MS);
    return { replayed: (await replays)[0], resets };
  }

  it("is not waited for: it goes on, and is called open", async () => {
    const { replayed, resets } = await waited(["Content-Type", "text/html"]);
    expect(replayed).toMatchObject({ status: 200, isOpen: true });
    expect(replayed).not.toHaveProperty("error");
    expect(resets).toEqual([]);
  });

  it("is ended when it is a stream of events, which nobody would read", async () => {
    const { replayed, resets } = await waited(["Content-Type", "text/event-stream"]);
    expect(replayed).toMatchObject({ status: 200, isOpen: true });
    expect(resets).toEqual([expect.objectContaining({ code: ResetCode.VisitorLeft })]);
  });
});
