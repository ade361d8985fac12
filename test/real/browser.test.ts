import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, it } from "vitest";
import { WebSocketServer } from "ws";
import { launchBrowser } from "../harness/browser.ts";
import { RealWorld } from "./real-world.ts";

const UPLOAD_BYTES = 200_000_000;
const PIXEL = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
  "base64",
);
const PAGE = `<!doctype html><link rel="stylesheet" href="/style.css"><img id="pixel" src="/pixel.png">
<input id="file" type="file"><p id="status">loading</p><script src="/app.js"></script>`;
const SCRIPT = `
window.messages = []; window.events = []; window.progress = [];
const socket = new WebSocket("ws://" + location.host + "/socket");
socket.onopen = () => { for (let i = 0; i < 5; i++) socket.send("m" + i); };
socket.onmessage = (event) => window.messages.push(event.data);
const source = new EventSource("/events");
source.onmessage = (event) => { window.events.push(event.data); fetch("/seen/" + event.data).then((answer) => answer.text()); if (event.data === "4") source.close(); };
document.querySelector("#file").onchange = (event) => {
  const request = new XMLHttpRequest();
  request.upload.onprogress = (progress) => window.progress.push(progress.loaded);
  request.onload = () => { document.querySelector("#status").textContent = request.responseText; };
  request.open("POST", "/upload");
  request.send(event.target.files[0]);
};
document.querySelector("#status").textContent = "ready";
`;

let browser: Browser;
let world: RealWorld;
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ggrok-browser-"));
  // Each event is sent only when the page has seen the one before: nothing on the way may hold one back.
  let sendNext: (() => void) | undefined;
  const server = createServer((request, response) => {
    const path = request.url ?? "/";
    if (path === "/app.js") response.setHeader("content-type", "text/javascript").end(SCRIPT);
    else if (path === "/style.css") response.setHeader("content-type", "text/css").end("p { color: rgb(1, 2, 3) }");
    else if (path === "/pixel.png") response.setHeader("content-type", "image/png").end(PIXEL);
    else if (path === "/events") {
      response.writeHead(200, { "content-type": "text/event-stream" });
      let next = 0;
      sendNext = () => {
        response.write(`data: ${next}\n\n`);
        next += 1;
      };
      sendNext();
    } else if (path.startsWith("/seen/")) {
      sendNext?.();
      response.end();
    } else if (path === "/upload") {
      let bytes = 0;
      request.on("data", (chunk: Buffer) => {
        bytes += chunk.length;
      });
      request.on("end", () => response.end(`got ${bytes}`));
    } else response.setHeader("content-type", "text/html").end(PAGE);
  });
  const sockets = new WebSocketServer({ server });
  sockets.on("connection", (socket) => {
    socket.on("message", (data) => socket.send(`echo ${String(data)}`));
  });
  world = await RealWorld.forwarding(server);
  browser = await launchBrowser("*.localhost");
});
afterAll(async () => {
  await browser?.close();
  await world?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

it("shows a page with its assets, a WebSocket, an event stream and an upload of 200 MB with progress", async () => {
  const page = await browser.newPage();
  const failed: string[] = [];
  // The page itself closes the event stream.
  page.on(
    "requestfailed",
    (request) => request.url().endsWith("/events") || failed.push(`${request.url()} ${request.failure()?.errorText}`),
  );
  page.on("pageerror", (error) => failed.push(String(error)));
  await page.goto(world.tunnel.url());
  await page.waitForFunction(
    'window.messages.length === 5 && window.events.length === 5 && document.querySelector("#status").textContent === "ready"',
  );
  expect(await page.evaluate("window.messages")).toEqual(["echo m0", "echo m1", "echo m2", "echo m3", "echo m4"]);
  expect(await page.evaluate("window.events")).toEqual(["0", "1", "2", "3", "4"]);
  expect(await page.evaluate('getComputedStyle(document.querySelector("#status")).color')).toBe("rgb(1, 2, 3)");
  expect(await page.evaluate('document.querySelector("#pixel").naturalWidth')).toBe(1);

  const file = join(folder, "upload.bin");
  writeFileSync(file, "");
  truncateSync(file, UPLOAD_BYTES);
  await page.setInputFiles("#file", file);
  await page.waitForFunction('document.querySelector("#status").textContent.startsWith("got")');
  expect(await page.textContent("#status")).toBe(`got ${UPLOAD_BYTES}`);
  const progress = (await page.evaluate("window.progress")) as number[];
  expect(progress.length).toBeGreaterThan(2);
  expect(progress.at(-1)).toBe(UPLOAD_BYTES);
  expect(failed).toEqual([]);
  await page.close();
});
