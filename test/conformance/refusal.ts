import { expect } from "vitest";
import type { World } from "../harness/world.ts";

/** Statuses that say no to a request. */
const REFUSALS = new Set([501, 505]);

/** What became of bytes that are no good request. */
export interface Outcome {
  /** Undefined when the connection was closed without a word. */
  readonly status: number | undefined;
  /** Requests the app saw because of them. */
  readonly seen: number;
}

/** Sends bytes, waits for the answer or the end, and proves that the next good request works. */
export async function sendAndRecover(world: World, bytes: string | Buffer): Promise<Outcome> {
  const before = world.origin.requests.length;
  const visitor = await world.visit(bytes);
  const answer = await visitor.answer();
  await visitor[Symbol.asyncDispose]();
  // What the app saw of it came before this good request, since that one was sent after the answer.
  const seen = (await world.expectGood()) - before;
  return { status: answer?.status, seen };
}

/** Refused: 4xx, 501, 505 or a close; the app saw nothing; the next good request works. */
export async function expectRefused(world: World, bytes: string | Buffer): Promise<void> {
  const { status, seen } = await sendAndRecover(world, bytes);
  const isRefusal = status === undefined || (status >= 400 && status < 500) || REFUSALS.has(status);
  const text = bytes.toString("latin1").slice(0, 300);
  expect(isRefusal, `answer ${status} to ${JSON.stringify(text)}`).toBe(true);
  expect(seen, `requests the app saw of ${JSON.stringify(text)}`).toBe(0);
}
