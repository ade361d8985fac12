import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, it } from "vitest";
import { visit } from "../e2e/cli-world.ts";
import { InspectorWorld, launchBrowser, rowOf } from "./inspector-world.ts";

let browser: Browser;

beforeAll(async () => {
  browser = await launchBrowser();
});
afterAll(async () => {
  await browser?.close();
});

it("says when the agent is gone, and goes on when another one is there", async () => {
  await using world = await InspectorWorld.start(browser);
  await visit(world.tunnelUrl, "/before");
  const page = await world.open();
  await rowOf(page, "/before").click();
  await page.getByRole("heading", { name: "/before" }).waitFor();
  await world.stopAgent();
  await page.getByText("agent gone").waitFor();
  await page.getByRole("button", { name: "Replay", exact: true }).click();
  await page.getByRole("status").getByText("The agent does not answer").waitFor();

  await world.startAgent();
  await page.getByText("online").waitFor();
  await visit(world.tunnelUrl, "/after");
  await rowOf(page, "/after").waitFor();
  await rowOf(page, "/before").waitFor();
  world.takeFaults();
  // The new agent has another token; the page gets it.
  await page.getByRole("button", { name: "Replay", exact: true }).click();
  await page.getByRole("button", { name: /^Replay of / }).waitFor();
  expect(world.takeFaults()).toEqual([expect.stringContaining("status of 401")]);
});

it("says that nothing is recorded, and still shows the tunnel", async () => {
  await using world = await InspectorWorld.start(browser, { flags: ["--inspect", "false"] });
  const page = await world.open();
  await page.getByText("Nothing is recorded").waitFor();
  await page.getByText("Recording is off").waitFor();
  await page.getByRole("link", { name: "shop.localhost" }).waitFor();
});
