import fc from "fast-check";
import { expect, it } from "vitest";
import type { ResponseHead } from "../message/exchange.ts";
import { encodeOpenPayload, encodeResponseHead, mostHeadBytes, openText, responseText } from "../wire/encode.ts";
import { FRAME_HEADER_BYTES, FrameType } from "../wire/frame.ts";
import { BatchWriter } from "./batch-writer.ts";
import { requestHead } from "./pair.testing.ts";

it("writes heads in place as the bytes that the golden vectors have", () => {
  const latin1 = fc.string({ unit: fc.integer({ min: 0x20, max: 0xff }).map((code) => String.fromCharCode(code)) });
  fc.assert(
    fc.property(fc.array(latin1), fc.nat(0xffff_ffff), (fields, credit) => {
      const open = { ...requestHead(), fields };
      const answer: ResponseHead = { status: 200, reason: "OK", fields };
      const batch = new BatchWriter();
      batch.renew(2 * (FRAME_HEADER_BYTES + mostHeadBytes(openText(open)) + mostHeadBytes(responseText(answer))));
      batch.appendHead(FrameType.Open, 0, 2, openText(open), credit);
      batch.appendHead(FrameType.Head, 1, 4, responseText(answer), undefined);
      const other = new BatchWriter();
      const [first, second] = [encodeOpenPayload(credit, open), encodeResponseHead(answer)];
      other.renew(2 * FRAME_HEADER_BYTES + first.length + second.length);
      other.append(FrameType.Open, 0, 2, first);
      other.append(FrameType.Head, 1, 4, second);
      expect(batch.take().equals(other.take())).toBe(true);
    }),
  );
});
