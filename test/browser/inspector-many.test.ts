import { afterAll, beforeAll, expect, it } from "vitest";
import { visit } from "../e2e/cli-world.ts";
import { InspectorWorld, rowOf, takePicture } from "./inspector-world.ts";

const COUNT = 10_000;
const ROW_HEIGHT = 30;

let world: InspectorWorld;

beforeAll(async () => {
  world = await InspectorWorld.start();
});
afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

/** A HAR with so many exchanges, the oldest first. */
function manyExchanges(): string {
  const start = Date.parse("2026-01-01T00:00:00Z");
  const entries = Array.from({ length: COUNT }, (_, i) => ({
    startedDateTime: new Date(start + i * 1_000).toISOString(),
    time: i % 700,
    request: {
      method: i % 3 === 0 ? "POST" : "GET",
      url: `http://shop.example/hooks/${i}?turn=${i % 10}`,
      httpVersion: "HTTP/1.1",
      headers: [{ name: "host", value: "shop.example" }],
      queryString: [],
      cookies: [],
      headersSize: -1,
      bodySize: 0,
    },
    response: {
      status: i % 50 === 0 ? 500 : 200,
      statusText: "",
      httpVersion: "HTTP/1.1",
      headers: [{ name: "content-type", value: "text/plain" }],
      cookies: [],
      content: { size: 2, mimeType: "text/plain", text: "ok" },
      redirectURL: "",
      headersSize: -1,
      bodySize: 2,
    },
    cache: {},
    timings: { send: 0, wait: i % 700, receive: 0 },
  }));
  return JSON.stringify({ log: { version: "1.2", creator: { name: "test", version: "1" }, entries } });
}

it("shows 10,000 exchanges, drawing those that can be seen", async () => {
  const answer = await fetch(`${world.origin}/api/requests/har`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: manyExchanges(),
  });
  expect(await answer.json()).toMatchObject({ imported: COUNT, skipped: [] });

  const page = await world.open();
  const list = page.locator(".exchanges .virtual-list");
  await page.locator(`[role=grid][aria-rowcount="${COUNT + 1}"]`).waitFor();
  await rowOf(page, `/hooks/${COUNT - 1}?`).waitFor();
  await takePicture(page, "many");
  const drawn = page.locator(".row:not(.head)");
  expect(await drawn.count()).toBeLessThan(100);

  // From end to end in leaps: at each place its own rows, and never more than can be seen.
  for (const at of [1_234, 5_000, 7_777]) {
    await list.evaluate((element, top) => {
      element.scrollTop = top;
    }, at * ROW_HEIGHT);
    await rowOf(page, `/hooks/${COUNT - 1 - at}?`).waitFor();
    expect(await drawn.count()).toBeLessThan(100);
  }
  await page.keyboard.press("G");
  await page.getByRole("heading", { name: "POST /hooks/0?turn=0" }).waitFor();
  await rowOf(page, "/hooks/0?").waitFor();

  // One more pushes the oldest out of the history; what is looked at stays where it is.
  await page.keyboard.press("k");
  await page.getByRole("heading", { name: "/hooks/1?turn=1" }).waitFor();
  const row = rowOf(page, "/hooks/1?");
  await visit(world.tunnelUrl, "/one-more");
  await rowOf(page, "/hooks/0?").waitFor({ state: "detached" });
  expect(await row.getAttribute("aria-selected")).toBe("true");

  await page.getByRole("combobox", { name: "Status" }).fill("500");
  await page.getByText("199 of 10,000").waitFor();
  await page.keyboard.press("Escape");
  await page.keyboard.press("g");
  await page.getByRole("heading", { name: "/hooks/9950?turn=0" }).waitFor();
  expect(world.takeFaults()).toEqual([]);
});
