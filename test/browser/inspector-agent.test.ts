import { createHmac } from "node:crypto";
import { expect, it } from "vitest";
import { visit } from "../e2e/cli-world.ts";
import { FaultProxy } from "../harness/fault-proxy.ts";
import { InspectorWorld, rowOf, takePicture } from "./inspector-world.ts";

it("says when the agent is gone, and goes on when another one is there", async () => {
  await using world = await InspectorWorld.start();
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

it("learns after an interruption what has come, how those have ended that were open, and which are gone", async () => {
  await using world = await InspectorWorld.start();
  for (const path of ["/kept", "/deleted"]) await visit(world.tunnelUrl, path);
  const hanging = ["/hang/1", "/hang/2"].map((path) => visit(world.tunnelUrl, path));
  // The page has them all from the list: no event has told it where it was.
  await using way = await FaultProxy.start(Number(new URL(world.origin).port));
  const page = await world.open({}, `http://127.0.0.1:${way.port}`);
  await rowOf(page, "/hang/2").getByText("…").waitFor();
  await rowOf(page, "/hang/1").getByText("…").click();
  await page.getByText("still open").waitFor();
  const id = await rowOf(page, "/deleted").getAttribute("data-id");
  way.isRefusing = true;
  way.cut();
  await page.getByText("agent gone").waitFor();
  await visit(world.tunnelUrl, "/release");
  expect((await Promise.all(hanging)).map(({ status }) => status)).toEqual([200, 200]);
  expect((await visit(world.origin, `/api/requests/http/${id}`, { method: "DELETE" })).status).toBe(204);
  expect(await rowOf(page, "/hang/1").locator(".status").textContent()).toBe("…");

  way.isRefusing = false;
  await rowOf(page, "/release").waitFor();
  await rowOf(page, "/hang/1").getByText("200").waitFor();
  await rowOf(page, "/hang/2").getByText("200").waitFor();
  await page.locator(".timing-bar").waitFor();
  expect(await page.locator(".row:not(.head) .uri").allTextContents()).toEqual([
    "/release",
    "/hang/2",
    "/hang/1",
    "/kept",
  ]);
  world.takeFaults();
});

it("shows whether a webhook's signature is valid, and signs an edited one anew", async () => {
  const secret = "it's a secret";
  await using world = await InspectorWorld.start({
    flags: ["--verify-webhook", "github=env:HOOK_SECRET", "--verify-webhook-mode", "report"],
    env: { HOOK_SECRET: secret },
  });
  const body = '{"action":"opened"}';
  const sign = (text: string): string => `sha256=${createHmac("sha256", secret).update(text).digest("hex")}`;
  const hook = (path: string, signature: string): ReturnType<typeof visit> =>
    visit(world.tunnelUrl, path, {
      method: "POST",
      body,
      headers: { "content-type": "application/json", "x-hub-signature-256": signature },
    });
  await hook("/hooks/good", sign(body));
  await hook("/hooks/forged", sign("another"));
  const page = await world.open();
  await rowOf(page, "/hooks/good").getByText("signed").waitFor();
  await rowOf(page, "/hooks/forged").getByText("invalid").click();
  await page.getByText(/^Signature invalid \(github\): ./).waitFor();
  await rowOf(page, "/hooks/good").click();
  await page.getByText(/^Signature valid \(github\)/).waitFor();
  await takePicture(page, "signature");

  await page.keyboard.press("e");
  const dialog = page.getByRole("dialog");
  const text = dialog.getByRole("textbox", { name: "Body" });
  await text.fill('{"action":"closed"}');
  await dialog.getByRole("checkbox", { name: "sign again" }).uncheck();
  await dialog.getByRole("button", { name: "Send" }).click();
  await page.getByText("Signature invalid").waitFor();
  await rowOf(page, "/hooks/good").last().click();
  await page.getByText("Signature valid").waitFor();
  await page.keyboard.press("e");
  await text.fill('{"action":"closed"}');
  await dialog.getByRole("button", { name: "Send" }).click();
  await page.getByRole("button", { name: /^Replay of / }).waitFor();
  await page.getByText("Signature valid").waitFor();
  expect(world.takeFaults()).toEqual([]);
});

it("says that nothing is recorded, and still shows the tunnel", async () => {
  await using world = await InspectorWorld.start({ flags: ["--inspect", "false"] });
  const page = await world.open();
  await page.getByText("Nothing is recorded").waitFor();
  await page.getByText("Recording is off").waitFor();
  await page.getByRole("link", { name: "shop.localhost" }).waitFor();
});
