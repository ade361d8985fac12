import { createHmac } from "node:crypto";
import { fileURLToPath } from "node:url";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { Agent, fetch as undiciFetch } from "undici";
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

it.each(["express", "fastify"])("serves an app of %s without a port", async (name) => {
  await using relay = await RelayProcess.start();
  await using place = new Place();
  await using example = start(name, place, relay);
  const url = await example.line();
  const door = doorOf(url);
  const headers = { "content-type": "application/json", "x-forwarded-proto": "https" };
  // A front end on this machine is believed: the app learns what its visitor typed.
  expect((await ask(door, "/", { headers })).body.toString()).toBe(`Hello from ${url.replace("http:", "https:")}\n`);
  const order = await ask(door, "/orders", { method: "POST", body: '{"item":"book"}', headers });
  expect([order.status, order.body.toString()]).toEqual([201, '{"received":{"item":"book"}}']);
  example.kill("SIGINT");
  expect(await example.exited).toBe(0);
});

it("serves an MCP server to a client elsewhere", async () => {
  await using relay = await RelayProcess.start();
  await using place = new Place();
  await using example = start("mcp", place, relay);
  const client = new Client({ name: "test", version: "1.0.0" });
  // Names under localhost are this machine whatever the resolver says.
  const dispatcher = new Agent({
    connect: { lookup: (_name, _o, done) => done(null, [{ address: "127.0.0.1", family: 4 }]) },
  });
  const transport = new StreamableHTTPClientTransport(new URL(await example.line()), {
    fetch: (url, init) => undiciFetch(url, { ...(init as object), dispatcher }) as unknown as Promise<Response>,
  });
  await client.connect(transport as Parameters<typeof client.connect>[0]);
  const { content } = await client.callTool({ name: "time", arguments: {} });
  expect(content).toEqual([{ type: "text", text: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/) }]);
  await client.close();
  await dispatcher.destroy();
});
