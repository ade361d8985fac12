import { createHmac } from "node:crypto";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { ask, doorOf } from "../harness/visitors.ts";
import { App, Place, Program, RelayProcess } from "./cli-world.ts";

/** Starts an example as its page says, from a place of its own. */
function start(name: string, place: Place, relay: RelayProcess, args: string[] = []): Program {
  const file = fileURLToPath(new URL(`../../examples/${name}.ts`, import.meta.url));
  const env = { ...place.env, GGROK_RELAY: relay.origin, WEBHOOK_SECRET: "s3cret" };
  return new Program(file, args, { env, cwd: place.cwd });
}

it("serves a function without a port", async () => {
  await using relay = await RelayProcess.start();
  await using place = new Place();
  await using example = start("hello", place, relay);
  const door = doorOf(await example.line());
  expect((await ask(door, "/there")).body.toString()).toBe("Hello from /there\n");
  example.kill("SIGINT");
  expect(await example.exited).toBe(0);
});

it("forwards to a port and tells of each request", async () => {
  await using relay = await RelayProcess.start();
  await using app = await App.start((_request, response) => response.end("from the app"));
  await using place = new Place();
  await using example = start("forward", place, relay, [String(app.port)]);
  const door = doorOf(await example.line());
  expect((await ask(door, "/x")).body.toString()).toBe("from the app");
  await example.until("the request's line", () => /GET \/x 200 \d+ ms/.test(example.stderr));
});

it("checks a webhook's signature over the raw bytes", async () => {
  await using relay = await RelayProcess.start();
  await using place = new Place();
  await using example = start("webhook", place, relay);
  const door = doorOf(await example.line());
  const body = '{ "odd":  "\u00e9\u2028" }\r\n';
  const signature = `sha256=${createHmac("sha256", "s3cret").update(body).digest("hex")}`;
  const headers = { "x-hub-signature-256": signature, "x-github-event": "push" };
  expect((await ask(door, "/", { method: "POST", body, headers })).status).toBe(204);
  expect((await ask(door, "/", { method: "POST", body: `${body} `, headers })).status).toBe(401);
});
