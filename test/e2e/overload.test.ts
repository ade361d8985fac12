import { PassThrough } from "node:stream";
import { encodeControlMessage, encodeResponseHead, FLAG_FIN, FrameType } from "@ggrok/protocol";
import { createRelay } from "@ggrok/server";
import { expect, it } from "vitest";
import { RELAY_LIMITS } from "../../packages/server/src/limits.ts";
import { Changes } from "../harness/deadline.ts";
import { RawClient } from "../harness/raw-client.ts";
import { HELLO, RawAgent } from "./raw-agent.ts";

const REQUEST = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
const HEAD_200 = encodeResponseHead({ status: 200, reason: "OK", fields: ["Content-Length", "6"] });
const HEAD_204 = encodeResponseHead({ status: 204, reason: "No Content", fields: [] });

/** Keeps this process, and with it the relay in it, busy: a turn of the event loop takes longer than the mark. */
class Burner implements Disposable {
  #isBurning = true;

  constructor() {
    this.#burn();
  }

  [Symbol.dispose](): void {
    this.#isBurning = false;
  }

  #burn(): void {
    if (!this.#isBurning) return;
    const until = performance.now() + RELAY_LIMITS.overloadLagMs + RELAY_LIMITS.overloadCheckMs + 100;
    while (performance.now() < until) {
      // Nothing else may happen.
    }
    setTimeout(() => this.#burn(), 5);
  }
}

it("refuses new work while its event loop lags, lets what is under way go on, and recovers by itself", async () => {
  const logDestination = new PassThrough();
  const events = new Map<string, number>();
  const changes = new Changes();
  let log = "";
  logDestination.on("data", (chunk: Buffer) => {
    log += chunk.toString();
    const lines = log.split("\n");
    log = lines.pop() ?? "";
    for (const line of lines) {
      const { event } = JSON.parse(line) as { event: string };
      events.set(event, (events.get(event) ?? 0) + 1);
    }
    changes.notify();
  });
  const seen = (event: string): Promise<void> => changes.until(`the event ${event}`, () => events.has(event), 30_000);
  await using relay = await createRelay({ bind: "127.0.0.1", adminToken: "root", logDestination });
  const origin = `http://127.0.0.1:${String(relay.port)}`;
  const [agent] = await RawAgent.online(origin);
  await agent.bind();

  await using early = await RawClient.connect(relay.port, { first: REQUEST });
  const { id } = await agent.opened();
  agent.frame(FrameType.Head, 0, id, HEAD_200);
  agent.frame(FrameType.Data, 0, id, Buffer.from("one"));
  await early.reader.through("one");
  await using late = await RawClient.connect(relay.port);
  const stranger = await RawAgent.dial(origin);

  {
    using _burner = new Burner();
    await seen("relay.overloaded");
    late.send(REQUEST);
    const refused = await late.answer();
    expect(refused?.status).toBe(503);
    expect(refused?.fields).toEqual(
      expect.arrayContaining([
        ["ggrok-error", "ERR_GGROK_RELAY_OVERLOADED"],
        ["Retry-After", "5"],
      ]),
    );
    stranger.ws.send(encodeControlMessage({ ...HELLO, instance: "another-instance" }));
    expect(await stranger.next("refused")).toMatchObject({ code: "ERR_GGROK_RELAY_OVERLOADED", retry: "after" });
    agent.frame(FrameType.Data, FLAG_FIN, id, Buffer.from("two"));
    expect(await early.reader.through("two")).toBeDefined();
  }

  await seen("relay.recovered");
  late.send(REQUEST);
  const again = await agent.opened();
  agent.frame(FrameType.Head, FLAG_FIN, again.id, HEAD_204);
  expect((await late.answer())?.status).toBe(204);
  const scrape = await fetch(`${origin}/$$ggrok/metrics`, { headers: { authorization: "Bearer root" } });
  const text = await scrape.text();
  for (const line of [
    "ggrok_relay_overloads_total 1",
    "ggrok_relay_overloaded 0",
    'ggrok_ingress_errors_total{code="ERR_GGROK_RELAY_OVERLOADED"} 1',
    'ggrok_control_refused_total{code="ERR_GGROK_RELAY_OVERLOADED"} 1',
  ])
    expect(text).toContain(`${line}\n`);
  agent.terminate();
  stranger.terminate();
});
