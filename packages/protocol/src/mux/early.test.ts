import { expect, it } from "vitest";
import { FrameType } from "../wire/frame.ts";
import { Collector, requestHead } from "./pair.testing.ts";
import { RawPeer, turn, windowFrame } from "./raw-peer.testing.ts";

const CHUNK = Buffer.alloc(65_536);

class Writer extends Collector {
  asked = 0;
  override onDrain(): void {
    this.asked += 1;
  }
}

function openWriter(peer: RawPeer) {
  const writer = new Writer();
  return { writer, stream: peer.session.open(requestHead("/", "POST"), writer, { fin: false }) };
}

it("a writer that fills its queue goes on while the link takes it, for a few times a turn", async () => {
  const peer = new RawPeer("listener", {}, { peerWindow: 1_048_576 });
  peer.say(windowFrame(0, 1_048_576));
  const { writer, stream } = openWriter(peer);
  expect(Array.from({ length: 5 }, () => stream.write(CHUNK))).toEqual([true, true, true, false, false]);
  expect(peer.sentOf(FrameType.Data)).toHaveLength(12);
  expect(writer.asked).toBe(0);
  await turn();
  expect(writer.asked).toBe(1);
  expect(stream.write(CHUNK)).toBe(true);
});

it("a link that is full stops the writer", () => {
  const peer = new RawPeer("listener", {}, { peerWindow: 1_048_576 });
  const { stream } = openWriter(peer);
  peer.isBlocked = true;
  stream.write(CHUNK);
  expect(stream.write(CHUNK)).toBe(false);
  expect(peer.sentOf(FrameType.Data)).toHaveLength(1);
});

it("nobody is asked for more inside somebody else's write", async () => {
  const peer = new RawPeer("listener", {}, { peerWindow: CHUNK.length });
  const first = openWriter(peer);
  const second = openWriter(peer);
  first.stream.write(CHUNK);
  expect(first.stream.write(CHUNK)).toBe(false);
  peer.say(windowFrame(first.stream.id, 2 * CHUNK.length));
  second.stream.write(CHUNK);
  const sent = peer.sentOf(FrameType.Data).filter((frame) => frame.stream === first.stream.id);
  expect(sent).toHaveLength(8);
  expect(first.writer.asked).toBe(0);
  await turn();
  expect(first.writer.asked).toBe(1);
});
