import { createServer } from "node:http";
import { PassThrough } from "node:stream";
import { createRelay } from "@ggrok/server";
import { forward } from "ggrok";
import { expect, it } from "vitest";
import { eventually } from "../harness/deadline.ts";
import { RawClient } from "../harness/raw-client.ts";
import { App, Place } from "./cli-world.ts";

type Line = Record<string, unknown>;

it("has one line for each exchange, whatever became of it, with the id the visitor was told", async () => {
  const log = new PassThrough();
  let text = "";
  log.on("data", (chunk: Buffer) => {
    text += chunk.toString();
  });
  const lines = (): Line[] =>
    text
      .split("\n")
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Line)
      .filter(({ event }) => event === "exchange");
  await using place = new Place();
  let isHanging = false;
  const server = createServer((req, res) => {
    if (req.url === "/hang") {
      isHanging = true;
      return;
    }
    if (req.url === "/break") req.socket.destroy();
    else res.end(`for ${String(req.headers["x-request-id"])}`);
  });
  server.on("upgrade", (_req, socket) => {
    socket.end("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nbytes");
  });
  await using app = await App.start(() => {});
  app.server.removeAllListeners("request").on("request", (req, res) => server.emit("request", req, res));
  app.server.on("upgrade", (req, socket, head) => server.emit("upgrade", req, socket, head));
  await using relay = await createRelay({
    bind: "127.0.0.1",
    domain: "localhost",
    hold: "0s",
    logFormat: "json",
    logDestination: log,
  });
  const relayUrl = `http://localhost:${String(relay.port)}`;
  await using agent = await forward({ addr: app.port, relay: relayUrl, url: "app", folder: place.folder });
  expect(agent.url()).toContain("app.localhost");

  const say = async (first: string): Promise<string> => {
    await using visitor = await RawClient.connect(relay.port, { first });
    return (await visitor.reader.rest()).toString("latin1");
  };
  const head = (line: string, ...fields: string[]): string =>
    `${[line, "Host: app.localhost", ...fields].join("\r\n")}\r\n\r\n`;
  const close = "Connection: close";
  const answers = [
    await say(head("GET /fine?token=x HTTP/1.1", close)),
    await say(`${head("POST /body HTTP/1.1", close, "Content-Length: 3")}abc`),
    await say(head("GET /break HTTP/1.1", close)),
    await say(`GET /nobody HTTP/1.1\r\nHost: nobody.localhost\r\n${close}\r\n\r\n`),
    await say(head("GET /two HTTP/1.1", "Host: x")),
    await say("GARBAGE\r\n\r\n"),
    await say(head("CONNECT app.localhost:1 HTTP/1.1")),
    await say(head("GET /up HTTP/1.1", "Connection: Upgrade", "Upgrade: x")),
  ];
  const visitor = await RawClient.connect(relay.port, { first: head("GET /hang HTTP/1.1") });
  await eventually(
    () => "the app to be asked",
    () => isHanging,
  );
  visitor.reset();
  await eventually(
    () => `nine lines, not ${String(lines().length)}`,
    () => lines().length >= 9,
  );

  const byPath = (path: string): Line[] => lines().filter((line) => line["path"] === path);
  expect(lines().map(({ path, status, code }) => [path, status, code])).toEqual([
    ["/fine", 200, undefined],
    ["/body", 200, undefined],
    ["/break", 502, "ERR_GGROK_UPSTREAM_RESET"],
    ["/nobody", 404, "ERR_GGROK_ENDPOINT_UNKNOWN"],
    ["/two", 400, "ERR_GGROK_REQUEST_MALFORMED"],
    ["", 400, "ERR_GGROK_REQUEST_MALFORMED"],
    [expect.stringContaining("app.localhost"), expect.any(Number), expect.stringContaining("ERR_GGROK_CONNECT")],
    ["/up", 101, undefined],
    ["/hang", 0, undefined],
  ]);
  expect(byPath("/body")).toMatchObject([{ method: "POST", bytesIn: 3, client: "127.0.0.1", host: "app.localhost" }]);
  expect(byPath("/fine")).toMatchObject([{ tunnel: expect.stringContaining("app.localhost") }]);
  expect(answers[0]).toContain(`for ${String(byPath("/fine")[0]?.["id"])}`);
  for (const [index, path] of [
    [2, "/break"],
    [3, "/nobody"],
    [4, "/two"],
    [5, ""],
  ] as const)
    expect(answers[index]?.toLowerCase()).toContain(`x-request-id: ${String(byPath(path)[0]?.["id"])}`.toLowerCase());
});
