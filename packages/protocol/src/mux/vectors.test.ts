import { describe, expect, it } from "vitest";
import type { GgrokError } from "../errors.ts";
import { DEAF_HANDLER, type Transport } from "../transport/transport.ts";
import { readVectors, type SessionVector } from "../wire/vectors.testing.ts";
import { Collector, requestHead, sessionHandler, sessionOptions } from "./pair.testing.ts";
import { Session } from "./session.ts";

/** A link that says nothing: the test speaks for the peer. */
function silentTransport(): Transport {
  return { handler: DEAF_HANDLER, send: () => true, flush() {}, bufferedBytes: 0, close() {}, destroy() {} };
}

describe("a session", () => {
  it.each(readVectors<SessionVector>("sessions.json"))("is over after: $name", (vector) => {
    const ends: GgrokError[] = [];
    const reader = new Collector();
    reader.isFull = vector.reads === false;
    const session = new Session(
      sessionOptions(vector.side, {
        resumable: vector.resumable ?? true,
        localWindow: vector.window ?? 65_536,
        handler: sessionHandler({
          onStream: (stream) => {
            stream.handler = reader;
          },
          onClosed: (error) => ends.push(error),
        }),
      }),
    );
    const transport = silentTransport();
    session.attach(transport);
    if (vector.opens === true) expect(session.open(requestHead("/", "POST"), reader, { fin: false }).id).toBe(2);
    const messages = vector.messages.map((hex) => Buffer.from(hex, "hex"));
    const last = messages.pop() ?? Buffer.alloc(0);
    for (const message of messages) transport.handler.onMessage(message);
    expect(ends).toEqual([]);
    transport.handler.onMessage(last);
    expect(ends.map((error) => error.code)).toEqual([vector.code]);
    expect(session.state).toBe("closed");
    expect(session.streamCount).toBe(0);
    // What still comes reaches nobody.
    transport.handler.onMessage(last);
    expect(ends).toHaveLength(1);
  });
});
