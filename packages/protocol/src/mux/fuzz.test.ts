import { expect, it } from "vitest";
import { DEAF_HANDLER, type Transport } from "../transport/transport.ts";
import { Fuzzer, fuzzSeed, liveBytes } from "../wire/fuzz.testing.ts";
import { Collector, OK, requestHead, sessionHandler, sessionOptions } from "./pair.testing.ts";
import { Session } from "./session.ts";

/** Some 100,000 frames for each side. */
const MESSAGES = 60_000;

/** A session of either side that hears what the fuzzer says; it answers and opens streams as a real one would. */
function createTarget(side: "dialler" | "listener", ends: string[]): { session: Session; transport: Transport } {
  const session = new Session(
    sessionOptions(side, {
      handler: sessionHandler({
        onStream: (stream) => {
          stream.handler = new Collector();
          stream.sendHead(OK);
          stream.end(Buffer.from("answer"));
        },
        onClosed: (error) => ends.push(error.code),
      }),
    }),
  );
  const transport: Transport = {
    handler: DEAF_HANDLER,
    send: () => true,
    flush() {},
    bufferedBytes: 0,
    close() {},
    destroy() {},
  };
  session.attach(transport);
  if (side === "listener") {
    for (let i = 0; i < 4; i += 1) session.open(requestHead("/", "POST"), new Collector(), { fin: i % 2 === 0 });
  }
  return { session, transport };
}

it.each(["dialler", "listener"] as const)(
  "random messages end a session of the %s with a reason, and nothing else",
  async (side) => {
    const seed = fuzzSeed();
    const fuzzer = new Fuzzer(seed);
    const ends: string[] = [];
    let target = createTarget(side, ends);
    let before = 0;
    let survived = 0;
    for (let i = 0; i < MESSAGES; i += 1) {
      if (i === MESSAGES / 10) before = liveBytes();
      try {
        target.transport.handler.onMessage(fuzzer.message());
      } catch (error) {
        throw new Error(`seed ${seed}`, { cause: error });
      }
      if (target.session.state === "closed") target = createTarget(side, ends);
      else survived += 1;
      // What was sent in answer leaves at the end of a turn.
      if (i % 100 === 0) await new Promise<void>((resolve) => setImmediate(resolve));
    }
    expect(ends.length).toBeGreaterThan(MESSAGES / 100);
    const reasons = new Set(["ERR_GGROK_PROTOCOL_VIOLATION", "ERR_GGROK_WINDOW_EXCEEDED", "ERR_GGROK_FLOOD"]);
    expect(
      ends.filter((code) => !reasons.has(code)),
      `seed ${seed}`,
    ).toEqual([]);
    expect(survived).toBeGreaterThan(MESSAGES / 100);
    await new Promise<void>((resolve) => setImmediate(resolve));
    expect(liveBytes() - before, `seed ${seed}`).toBeLessThan(16 * 1024 * 1024);
  },
);
