import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { request } from "node:http";
import type { Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { visit } from "../e2e/cli-world.ts";
import { InspectorWorld, rowOf, takePicture } from "./inspector-world.ts";

let world: InspectorWorld;

beforeAll(async () => {
  world = await InspectorWorld.start();
});
afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});
afterEach(async () => {
  await world.closePages();
  expect(world.takeFaults()).toEqual([]);
});

const send = (path: string, options?: Parameters<typeof visit>[2]): ReturnType<typeof visit> =>
  visit(world.tunnelUrl, path, options);

/** Opens the exchange of a path at one of its parts. */
async function show(page: Page, path: string, tab: string): Promise<ReturnType<Page["locator"]>> {
  await rowOf(page, path).first().click();
  await page.getByRole("article", { name: path }).waitFor();
  await page.getByRole("tab", { name: tab }).click();
  return page.getByRole("tabpanel");
}

/** Waits until something in the page is as expected. */
async function eventually(page: Page, what: string, is: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!(await is())) {
    if (Date.now() > deadline) throw new Error(`${what} did not come`);
    await page.evaluate("new Promise((done) => requestAnimationFrame(done))");
  }
}

describe("the list", () => {
  it("takes new exchanges in without losing the selection or the place it is scrolled to", async () => {
    for (let i = 0; i < 60; i += 1) await send(`/live/${i}`);
    const page = await world.open();
    await rowOf(page, "/live/59").waitFor();
    const list = page.locator(".exchanges .virtual-list");
    await list.evaluate((element: { scrollTop: number }) => {
      element.scrollTop = 613;
    });
    const row = rowOf(page, "/live/30");
    await row.click();
    const place = await row.boundingBox();
    for (let i = 0; i < 5; i += 1) await send(`/arrived/${i}`);
    await page.locator('[role=grid][aria-rowcount="66"]').waitFor();
    await page.getByText("65 exchanges").waitFor();
    expect(await row.boundingBox()).toEqual(place);
    expect(await row.getAttribute("aria-selected")).toBe("true");
    await page.getByRole("heading", { name: "GET /live/30" }).waitFor();

    await list.evaluate((element: { scrollTop: number }) => {
      element.scrollTop = 0;
    });
    await rowOf(page, "/arrived/4").waitFor();
    await send("/arrived/on-top");
    await rowOf(page, "/arrived/on-top").waitFor();
    expect(await page.locator(".row:not(.head)").first().textContent()).toContain("/arrived/on-top");
  });

  it("shows what fits the text, the method, the status and the path, of new exchanges too", async () => {
    await send("/shop/missing-one", { headers: { "x-shop": "needle-in-a-header" } });
    await send("/missing");
    await send("/order", { method: "POST", body: "{}" });
    const page = await world.open();
    const paths = async (): Promise<string> => (await page.locator(".row:not(.head) .uri").allTextContents()).join(" ");
    await rowOf(page, "/missing").first().waitFor();

    const text = page.getByRole("searchbox");
    await text.fill("needle-in");
    await eventually(page, "the exchange with the header", async () => (await paths()) === "/shop/missing-one");
    await send("/shop/second", { headers: { "x-shop": "needle-in-another" } });
    await eventually(page, "the second one", async () => (await paths()) === "/shop/second /shop/missing-one");
    await text.fill("");

    await page.getByRole("combobox", { name: "Status" }).fill("4xx");
    await eventually(page, "the failed ones", async () => (await paths()) === "/missing");
    await page.getByRole("button", { name: "Show all" }).click();

    await page.getByRole("combobox", { name: "Method" }).selectOption("POST");
    await eventually(page, "the posted ones", async () => (await paths()) === "/order");
    await page.getByRole("combobox", { name: "Method" }).selectOption("");

    await page.getByRole("textbox", { name: "Path" }).fill("/shop/*");
    await eventually(page, "those of the shop", async () => (await paths()) === "/shop/second /shop/missing-one");
    await page.getByText(/^2 of \d+$/).waitFor();
    await takePicture(page, "filter");
  });
});

describe("a body", () => {
  it("is shown as what it is", async () => {
    const form = "name=tea+pot&count=2&note=%C3%A4";
    await send("/form", {
      method: "POST",
      body: form,
      headers: { "content-type": "application/x-www-form-urlencoded" },
    });
    const multipart = [
      '--cut\r\ncontent-disposition: form-data; name="title"\r\n\r\nA picture\r\n',
      '--cut\r\ncontent-disposition: form-data; name="file"; filename="a.json"\r\ncontent-type: application/json\r\n\r\n{"inside":true}\r\n',
      "--cut--\r\n",
    ].join("");
    await send("/multipart", {
      method: "POST",
      body: multipart,
      headers: { "content-type": "multipart/form-data; boundary=cut" },
    });
    for (const path of ["/json", "/gzip", "/br", "/js", "/text", "/bytes", "/png", "/svg"]) await send(path);
    const page = await world.open();
    await rowOf(page, "/svg").waitFor();

    const request = await show(page, "/form", "Request");
    expect(await request.getByRole("table", { name: "Form" }).textContent()).toBe("nametea potcount2noteä");
    await show(page, "/multipart", "Request");
    await takePicture(page, "multipart");
    const parts = request.getByRole("list", { name: "Parts" }).locator("> li");
    expect(await parts.allInnerTexts()).toEqual([
      expect.stringMatching(/title[\s\S]*A picture/),
      expect.stringMatching(/file[\s\S]*a\.json[\s\S]*inside: true/),
    ]);

    const response = await show(page, "/json", "Response");
    const tree = response.getByRole("list", { name: "JSON" });
    await tree.getByText("9007199254740993").waitFor();
    await tree.getByRole("button", { name: "items" }).click();
    await tree.getByText("tea").waitFor({ state: "detached" });
    await show(page, "/gzip", "Response");
    await tree.getByText("9007199254740993").waitFor();
    await response.getByLabel("undo gzip").uncheck();
    await response.getByText("00000000").waitFor();
    expect(await response.locator(".hex-line").first().textContent()).toContain("1f 8b 08");
    await show(page, "/br", "Response");
    await response.getByText("p { color: teal }").waitFor();
    await show(page, "/js", "Response");
    await response.locator(".t-keyword", { hasText: "export" }).waitFor();
    await show(page, "/text", "Response");
    await response.getByText("plain wörds").waitFor();
    await response.getByRole("button", { name: "Hex" }).click();
    expect(await response.locator(".hex-line").first().textContent()).toContain("70 6c 61 69 6e 20 77 c3");
    await show(page, "/bytes", "Response");
    expect(await response.locator(".hex-line").allTextContents()).toEqual([
      expect.stringMatching(/^0000000000 01 02 fe ff 47 47\s*·····GG$/),
    ]);
    for (const [path, size] of [
      ["/png", "1 × 1"],
      ["/svg", "40 × 20"],
    ] as const) {
      await show(page, path, "Response");
      await response.getByText(size).waitFor();
      expect(await response.getByRole("img", { name: "The body" }).getAttribute("src")).toMatch(/^blob:/);
    }
    const download = page.waitForEvent("download");
    await response.getByRole("button", { name: "Download" }).click();
    expect(await readFile(await (await download).path(), "utf8")).toMatch(/^<svg .*<\/svg>$/);
  });

  it("is never run, whatever it is", async () => {
    await send("/html?<img/src=x>", { headers: { "x-evil": "<script>window.hacked = 1</script>" } });
    await send("/svg");
    const page = await world.open();
    const panel = await show(page, "/html", "Response");
    await panel.getByText("it's hostile").waitFor();
    await takePicture(page, "html");
    await panel.getByRole("button", { name: "Text" }).click();
    await panel.getByText("it's hostile").waitFor();
    await page.getByRole("tab", { name: "Request" }).click();
    await panel.getByText("<script>window.hacked = 1</script>").waitFor();
    await show(page, "/svg", "Response");
    await panel.getByText("40 × 20").waitFor();
    expect(await page.evaluate("window.hacked")).toBeUndefined();
    expect(await page.title()).toBe("ggrok inspector");
    expect(await page.locator("iframe, object, embed, #page script, #page style").count()).toBe(0);

    // Opened by hand, what the agent hands out is a file, not a page.
    const { id } = (await (await page.request.get(`${world.origin}/api/requests/http?path=/html`)).json()).requests[0];
    const answer = await page.request.get(`${world.origin}/api/requests/http/${id}/response-body`);
    expect(answer.headers()).toMatchObject({
      "content-type": "application/octet-stream",
      "content-disposition": expect.stringMatching(/^attachment/),
      "x-content-type-options": "nosniff",
      "content-security-policy": expect.stringMatching(/^default-src 'none'/),
    });
  });
});

describe("an exchange", () => {
  it("hides what opens doors until it is clicked", async () => {
    await send("/cookies", { headers: { authorization: "Bearer t0ken", cookie: "sid=abc; theme=dark" } });
    const page = await world.open();
    const panel = await show(page, "/cookies", "Request");
    const headers = panel.getByRole("table", { name: "Headers" });
    await headers.getByText("Bearer ••••••••").waitFor();
    expect(await page.locator("body").textContent()).not.toContain("t0ken");
    await headers.getByRole("button", { name: "Show authorization" }).click();
    await headers.getByText("Bearer t0ken").waitFor();
    expect(await panel.textContent()).not.toContain("abc");
    await panel.getByRole("table", { name: "Cookies" }).getByRole("button", { name: "Show sid" }).click();
    await panel.getByRole("table", { name: "Cookies" }).getByText("abc").waitFor();
    await page.getByRole("tab", { name: "Response" }).click();
    await panel.getByText("HttpOnly; Path=/").waitFor();
    expect(await panel.textContent()).not.toContain("s3cret");
  });

  it("is copied as a command, and the tunnel's address as text and as a picture", async () => {
    await send("/order?copy", { method: "POST", body: '{"a":1}' });
    const page = await world.open();
    await show(page, "/order?copy", "Request");
    const clipboard = (): Promise<unknown> => page.evaluate("navigator.clipboard.readText()");
    for (const [label, said, word] of [
      ["curl", "Copied as curl", /^curl [\s\S]*\/order\?copy/],
      ["fetch", "Copied as fetch", /^await fetch\(|fetch\(/],
      ["HTTPie", "Copied as HTTPie", /http /],
    ] as const) {
      await page.getByText("Copy as").click();
      await page.getByRole("button", { name: label, exact: true }).click();
      await page.getByRole("status").getByText(said).waitFor();
      expect(await clipboard()).toMatch(word);
    }
    await page.getByRole("button", { name: `Copy ${world.tunnelUrl}` }).click();
    await page.getByRole("status").getByText("Copied the address").waitFor();
    expect(await clipboard()).toBe(world.tunnelUrl);
    await page.getByRole("button", { name: `QR code of ${world.tunnelUrl}` }).click();
    await page.getByRole("img", { name: `QR code of ${world.tunnelUrl}` }).waitFor();
    await takePicture(page, "qr");
  });

  it("is sent again as it was, and shows how the answers differ", async () => {
    await send("/lines?again");
    const page = await world.open();
    await show(page, "/lines?again", "Response");
    await page.getByRole("button", { name: "Replay", exact: true }).click();
    await page.getByRole("button", { name: /^Replay of / }).waitFor();
    await page.getByRole("tab", { name: "Changes" }).click();
    const panel = page.getByRole("tabpanel");
    await panel.locator(".line.is-added").waitFor();
    expect(await panel.locator(".line.is-removed").allTextContents()).toEqual([expect.stringMatching(/^turn \d+$/)]);
    expect(await panel.locator(".line.is-added").allTextContents()).toEqual([expect.stringMatching(/^turn \d+$/)]);
    await page.getByRole("button", { name: /^Replay of / }).click();
    await page.getByRole("button", { name: "1 replay of this" }).waitFor();
  });

  it("is edited before it is sent again: method, path, headers and body", async () => {
    await send("/order?edit=0", {
      method: "POST",
      body: '{"amount":1}',
      headers: { "content-type": "application/json", authorization: "Bearer t0ken", "x-note": "first" },
    });
    const page = await world.open();
    await show(page, "/order?edit=0", "Request");
    await page.getByRole("button", { name: "Edit" }).click();
    const dialog = page.getByRole("dialog", { name: "Edit and replay" });
    await dialog.getByRole("textbox", { name: "Path and query" }).fill("/order?edit=1");
    const head = dialog.getByRole("textbox", { name: "Headers" });
    const lines = await head.inputValue();
    expect(lines).toContain("authorization: Bearer ••••••••");
    await head.fill(`${lines.replace("x-note: first", "x-note: second")}\nbroken line`);
    await dialog.getByRole("button", { name: "Send" }).click();
    await dialog.getByRole("alert").getByText("is no header").waitFor();
    await head.fill(lines.replace("x-note: first", "x-note: second"));
    await dialog.getByRole("textbox", { name: "Body" }).fill('{"amount":200}');
    await dialog.getByRole("combobox", { name: "Method" }).fill("PUT");
    await takePicture(page, "edit");
    await dialog.getByRole("button", { name: "Send" }).click();

    await page.getByRole("heading", { name: "PUT /order?edit=1" }).waitFor();
    await page.getByRole("tab", { name: "Changes" }).click();
    const values = page.getByRole("table", { name: "Values that differ" });
    await values.waitFor();
    expect(await values.locator("tr").allInnerTexts()).toEqual([
      expect.stringMatching(/^count\s+\d+\s+\d+$/),
      expect.stringMatching(/^method\s+"POST"\s+"PUT"$/),
      expect.stringMatching(/^note\s+"first"\s+"second"$/),
      expect.stringMatching(/^got\s+.*1.*\s+.*200.*$/),
    ]);
    expect(await page.getByRole("table", { name: "Headers that differ" }).textContent()).toContain("x-count");
    await takePicture(page, "changes");
    await page.getByRole("tab", { name: "Request" }).click();
    await page.getByRole("button", { name: "Show authorization" }).click();
    await page.getByText("Bearer t0ken").waitFor();
  });

  it("leaves as HAR, one or many, and comes back from it", async () => {
    await send("/har/first");
    await send("/har/second", { method: "POST", body: "kept" });
    const page = await world.open();
    await show(page, "/har/first", "Response");
    const har = async (press: () => Promise<void>): Promise<{ path: string; urls: string[] }> => {
      const download = page.waitForEvent("download");
      await press();
      const path = await (await download).path();
      const { log } = JSON.parse(await readFile(path, "utf8"));
      return { path, urls: log.entries.map((entry: { request: { url: string } }) => entry.request.url) };
    };
    const one = await har(() => page.getByRole("button", { name: "HAR", exact: true }).click());
    expect(one.urls).toEqual([expect.stringMatching(/\/har\/first$/)]);
    await rowOf(page, "/har/first").getByRole("checkbox").check();
    await rowOf(page, "/har/second").getByRole("checkbox").check();
    const two = await har(() => page.getByRole("button", { name: "Export 2 marked exchanges" }).click());
    expect(two.urls).toHaveLength(2);

    await show(page, "/har/second", "Request");
    await page.getByRole("button", { name: "Delete", exact: true }).click();
    await rowOf(page, "/har/second").waitFor({ state: "detached" });
    await page.getByLabel("HAR file").setInputFiles(two.path);
    await page.getByRole("status").getByText("Imported 2 exchanges").waitFor();
    const panel = await show(page, "/har/second", "Request");
    await panel.getByText("kept").waitFor();
    await rowOf(page, "/har/second").getByText("imported").waitFor();

    await page.getByLabel("HAR file").setInputFiles({
      name: "broken.har",
      mimeType: "application/json",
      buffer: Buffer.from('{"log": {}}'),
    });
    await page.getByRole("status").getByText("it is no HAR").waitFor();
    // The answer that says so is an error to the browser's console.
    expect(world.takeFaults()).toEqual([expect.stringContaining("status of 400")]);
  });
});

it("shows the messages of a WebSocket as they come, and the events of a stream", async () => {
  const { host, port } = new URL(world.tunnelUrl);
  const socket = new WebSocket(`ws://127.0.0.1:${port}/socket`, { headers: { host } });
  await new Promise((open, fail) => socket.once("open", open).once("error", fail));
  socket.send('{"hello": "there"}');
  await send("/events");
  const page = await world.open();
  await rowOf(page, "/socket").click();
  await page.getByRole("tab", { name: /^Messages/ }).click();
  const messages = page.getByRole("listbox", { name: "Messages" });
  await messages.getByRole("option", { name: "To the app" }).first().waitFor();
  await messages.getByRole("option", { name: "From the app" }).first().waitFor();
  socket.send(Buffer.from([1, 2, 3]));
  await messages.getByText("01 02 03").last().waitFor();
  await page.getByRole("tab", { name: "Messages 4" }).waitFor();
  await messages.getByRole("option", { name: /^To the app text/ }).click();
  await page.getByRole("region", { name: "Message 1" }).getByText("hello:").waitFor();
  await takePicture(page, "websocket");
  socket.close(1000, "enough");
  await messages.getByText("1000 enough").first().waitFor();

  await rowOf(page, "/events").click();
  await page.getByRole("tab", { name: "Messages 2" }).click();
  await messages.getByText("second").waitFor();
  expect(await messages.getByRole("option").count()).toBe(2);
});

it("is used with the keyboard alone", async () => {
  for (const name of ["one", "two", "three"]) await send(`/keys/${name}`);
  const page = await world.open();
  await rowOf(page, "/keys/three").waitFor();
  const heading = (path: string): Promise<void> => page.getByRole("heading", { name: path }).waitFor();
  await page.keyboard.press("j");
  await heading("/keys/three");
  await page.keyboard.press("j");
  await page.keyboard.press("ArrowDown");
  await heading("/keys/one");
  await page.keyboard.press("k");
  await heading("/keys/two");
  await page.keyboard.press("/");
  await page.keyboard.type("keys/one");
  await rowOf(page, "/keys/three").waitFor({ state: "detached" });
  await page.keyboard.press("Escape");
  await page.keyboard.press("g");
  await heading("/keys/one");
  await page.keyboard.press("r");
  await page.getByRole("button", { name: /^Replay of / }).waitFor();
  await page.keyboard.press("e");
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("textbox", { name: "Path and query" }).waitFor();
  await page.keyboard.press("Control+a");
  await page.keyboard.type("/keys/one/edited");
  await page.keyboard.press("Control+Enter");
  await heading("/keys/one/edited");
  await page.keyboard.press("?");
  await dialog.getByText("Next exchange").waitFor();
  await takePicture(page, "keys");
  // The first leaves the dialog, the second the exchange, however fast they come.
  await page.keyboard.press("Escape");
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  await page.getByText("Select an exchange").waitFor();
});

it("has a light and a dark look, and remembers the one that was chosen", async () => {
  for (const path of ["/", "/assets/shop.css", "/api/products?page=2", "/api/products/1042", "/missing"])
    await send(path);
  const hook = { type: "invoice.paid", data: { amount: 4200, currency: "eur" } };
  for (const path of ["/hooks/stripe", "/hooks/github", "/api/cart", "/hooks/shopify"]) {
    await send(path, { method: "POST", body: JSON.stringify(hook), headers: { "content-type": "application/json" } });
  }
  await send("/broken");
  await send("/events");
  await send("/json");
  const ground = (page: Page): Promise<unknown> => page.evaluate("getComputedStyle(document.body).backgroundColor");
  const page = await world.open({ colorScheme: "dark" });
  await show(page, "/json", "Response");
  await page.getByRole("list", { name: "JSON" }).waitFor();
  const dark = await ground(page);
  await takePicture(page, "dark");
  await page.emulateMedia({ colorScheme: "light" });
  const light = await ground(page);
  expect(light).not.toBe(dark);
  await takePicture(page, "light");
  await page.getByRole("button", { name: "Look: system" }).click();
  await page.getByRole("button", { name: "Look: light" }).click();
  expect(await ground(page)).toBe(dark);
  await page.reload();
  await page.getByRole("button", { name: "Look: dark" }).waitFor();
  expect(await ground(page)).toBe(dark);
});

/** How much wider a text is than the field that shows it, for each field of the filter, and the addresses than their place. */
const CUT = `[...document.querySelectorAll(".filter-bar :is(input, select)")].map((field) => {
  const { font, paddingLeft, paddingRight } = getComputedStyle(field);
  const pen = Object.assign(document.createElement("canvas").getContext("2d"), { font });
  const text = field.placeholder ?? field.selectedOptions[0].text;
  // An arrow or a cross takes 20 pixels.
  return pen.measureText(text).width + 20 - (field.clientWidth - parseFloat(paddingLeft) - parseFloat(paddingRight));
}).concat([document.querySelector(".tunnels")].map((list) => list.scrollWidth - list.clientWidth)).filter((by) => by > 0)`;

it.each([1280, 800, 400])("cuts neither the filter's words nor the address at %i pixels", async (width) => {
  await send("/width");
  const har = await (await fetch(`${world.origin}/api/requests/har?path=/width`)).text();
  await fetch(`${world.origin}/api/requests/har`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: har.replaceAll('"tunnel":"command_line"', '"tunnel":"another"'),
  });
  const page = await world.open({ viewport: { width, height: 600 } });
  await rowOf(page, "/width").first().waitFor();
  await page.getByRole("combobox", { name: "Tunnel" }).waitFor();
  expect(await page.evaluate(CUT)).toEqual([]);
});

it("fits a window of 400 pixels", async () => {
  await send("/order?narrow=1", { method: "POST", body: '{"a":1}' });
  const page = await world.open({ viewport: { width: 400, height: 800 } });
  const overflow = (): Promise<unknown> =>
    page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth");
  await rowOf(page, "/order?narrow=1").waitFor();
  await takePicture(page, "narrow-list");
  expect(await overflow()).toBe(0);
  await rowOf(page, "/order?narrow=1").click();
  await page.getByRole("button", { name: "Replay", exact: true }).waitFor();
  expect(await rowOf(page, "/order?narrow=1").isVisible()).toBe(false);
  expect(await overflow()).toBe(0);
  await takePicture(page, "narrow");
  for (const name of ["Replay", "Edit", "HAR", "Delete"]) {
    const box = await page.getByRole("button", { name, exact: true }).boundingBox();
    expect((box?.x ?? 0) + (box?.width ?? 1_000)).toBeLessThanOrEqual(400);
  }
  await page.getByRole("button", { name: "Back to the list" }).click();
  await rowOf(page, "/order?narrow=1").waitFor();
});

it("shows a request that hangs, with its body, and how it ended, while it stays selected", async () => {
  const page = await world.open();
  await page.getByText("online").waitFor();
  const body = '{"event":"payment.succeeded"}';
  const answered = send("/hang", { method: "POST", body, headers: { "content-type": "application/json" } });
  const stalled = send("/stalls");
  const panel = await show(page, "/hang", "Request");
  await panel.getByText("payment.succeeded").waitFor();
  const row = rowOf(page, "/hang").last();
  expect(await row.locator(".status").textContent()).toBe("…");
  expect(await row.locator(".duration").textContent()).toBe("open");
  await page.getByText("still open").waitFor();
  await page.getByRole("button", { name: "Replay", exact: true, disabled: false }).waitFor();
  await page.getByText("Copy as").click();
  await page.getByRole("button", { name: "curl" }).click();
  await page.getByText("Copied as curl").waitFor();
  expect(await page.evaluate("navigator.clipboard.readText()")).toContain(`--data-raw '${body}'`);
  const half = await show(page, "/stalls", "Response");
  await half.getByText("14 B so far").waitFor();
  await half.getByText("It is shown when it has come to its end.").waitFor();

  const { host, port } = new URL(world.tunnelUrl);
  const upload = request({ host: "127.0.0.1", port, path: "/hang/slow", method: "POST", headers: { host } });
  upload.write('{"half":');
  await show(page, "/hang/slow", "Request");
  await panel.getByText("8 B so far").waitFor();
  await page.getByRole("button", { name: "Replay", exact: true, disabled: true }).waitFor();
  upload.end('"and half"}');
  await panel.getByText("and half").waitFor();
  await page.getByRole("button", { name: "Replay", exact: true, disabled: false }).waitFor();

  await row.click();
  await page.getByRole("tab", { name: "Response" }).click();
  await panel.getByText("No answer yet.").waitFor();
  const uploaded = once(upload, "response");
  await send("/release");
  for await (const chunk of (await uploaded)[0]) expect(String(chunk)).toContain("late");
  expect((await answered).status).toBe(200);
  expect((await stalled).text).toBe("the first half");
  await panel.getByText("late").waitFor();
  expect(await row.getAttribute("aria-selected")).toBe("true");
  expect(await row.locator(".status").textContent()).toBe("200");
  await page.locator(".timing-bar").waitFor();
  await show(page, "/stalls", "Response");
  await half.getByText("the first half").waitFor();
});
