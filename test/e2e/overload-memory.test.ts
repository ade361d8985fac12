import { setTimeout as delay } from "node:timers/promises";
import { encodeResponseHead, FLAG_FIN, FrameType } from "@ggrok/protocol";
import { expect, it } from "vitest";
import { within } from "../harness/deadline.ts";
import { RawClient } from "../harness/raw-client.ts";
import { RelayProcess } from "./cli-world.ts";
import { RawAgent } from "./raw-agent.ts";

const HEAD_204 = encodeResponseHead({ status: 204, reason: "No Content", fields: [] });
/** Nearly as large as a head may be: what each request that waits holds in the heap. */
const LARGE = Array.from({ length: 25 }, (_, index) => `X-${index}: ${"a".repeat(1_100)}\r\n`).join("");

/** A relay as a process whose heap is small. */
async function startSmall(): Promise<RelayProcess> {
  const before = process.env["NODE_OPTIONS"];
  process.env["NODE_OPTIONS"] = "--max-old-space-size=64";
  const starting = RelayProcess.start(["--domain", "localhost", "--park", "60s"]);
  if (before === undefined) delete process.env["NODE_OPTIONS"];
  else process.env["NODE_OPTIONS"] = before;
  return starting;
}

it("refuses new work while its heap is nearly full, keeps what waits, and recovers by itself", {
  timeout: 120_000,
}, async () => {
  await using relay = await startSmall();
  const [away] = await RawAgent.online(relay.origin, { instance: "another-instance" });
  await away.bind({ url: "away" });
  away.terminate();
  await away.closed;

  const good = "GET / HTTP/1.1\r\nHost: good.localhost\r\n\r\n";
  await using visitor = await RawClient.connect(relay.port);
  const waiting: RawClient[] = [];
  const has = (event: string): boolean => relay.program.stdout.includes(`"event":"${event}"`);
  const fill = async (): Promise<void> => {
    while (!has("relay.overloaded") && waiting.length < 1_000) {
      const first = `GET / HTTP/1.1\r\nHost: away.localhost\r\n${LARGE}\r\n`;
      waiting.push(await RawClient.connect(relay.port, { first }));
      // The relay looks at its memory ten times a second; what comes in between has to fit.
      await delay(4);
      // Nor may it fall behind: what it has not read yet would come all at once.
      if (waiting.length % 10 > 0) continue;
      visitor.send("GET /$$ggrok/ready HTTP/1.1\r\nHost: localhost\r\n\r\n");
      await visitor.answer();
    }
  };
  await within("the heap to fill", fill(), 60_000);
  await relay.program.event("relay.overloaded");

  visitor.send(good);
  const refused = await visitor.answer();
  expect(refused?.status).toBe(503);
  expect(refused?.fields).toEqual(
    expect.arrayContaining([
      ["ggrok-error", "ERR_GGROK_RELAY_OVERLOADED"],
      ["Retry-After", "5"],
    ]),
  );
  expect(waiting.filter(({ socket }) => socket.bytesRead === 0).length).toBeGreaterThan(100);
  expect(has("relay.recovered")).toBe(false);

  for (const { socket } of waiting) socket.destroy();
  await relay.program.event("relay.recovered");
  const [agent] = await RawAgent.online(relay.origin);
  await agent.bind({ url: "good" });
  visitor.send(good);
  const { id } = await agent.opened();
  agent.frame(FrameType.Head, FLAG_FIN, id, HEAD_204);
  expect((await visitor.answer())?.status).toBe(204);
  agent.terminate();
});
