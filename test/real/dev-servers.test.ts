import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freePort, Place, RelayProcess, visit } from "../e2e/cli-world.ts";
import { launchBrowser } from "../harness/browser.ts";
import { within } from "../harness/deadline.ts";
import { ask } from "../harness/visitors.ts";
import { DevServer, type DevServerOptions } from "./dev-server.ts";
import { RealWorld } from "./real-world.ts";

const FIXTURES = fileURLToPath(new URL("./fixtures/", import.meta.url));
const script = (fixture: string, path: string) => join(FIXTURES, fixture, "node_modules", path);

const VITE: DevServerOptions = {
  fixture: "vite-app",
  command: (port) => [process.execPath, script("vite-app", "vite/bin/vite.js"), "--port", String(port), "--strictPort"],
};
const WEBPACK: DevServerOptions = {
  fixture: "webpack-app",
  command: (port) => [process.execPath, "serve.js", String(port)],
};
const NEXT: DevServerOptions = {
  fixture: "next-app",
  command: (port) => [process.execPath, script("next-app", "next/dist/bin/next"), "dev", "-p", String(port)],
  env: () => ({ NEXT_TELEMETRY_DISABLED: "1" }),
};
const ANGULAR: DevServerOptions = {
  fixture: "angular-app",
  command: (port) => [
    process.execPath,
    script("angular-app", "@angular/cli/bin/ng.js"),
    "serve",
    "--port",
    String(port),
  ],
};

let browser: Browser;
beforeAll(async () => {
  // A name that no dev server takes for its own, unlike those below localhost.
  browser = await launchBrowser("*.example.test");
});
afterAll(async () => {
  await browser?.close();
});

/** A dev server behind a tunnel at `real.example.test`, and a page that shows it. */
async function open(options: DevServerOptions) {
  const server = await DevServer.start(options);
  const world = await RealWorld.to(server.port, { domain: "example.test" });
  const page = await browser.newPage();
  const failed: string[] = [];
  page.on("pageerror", (error) => failed.push(String(error)));
  page.on("console", (message) => message.type() === "error" && failed.push(message.text()));
  // The first word over the hot-reload socket: what is edited before it would not be told.
  const heard = Promise.withResolvers<void>();
  page.on("websocket", (socket) => socket.on("framereceived", () => heard.resolve()));
  return {
    server,
    world,
    page,
    failed,
    heard: () => within("a word over the hot-reload socket", heard.promise, 30_000),
    async [Symbol.asyncDispose]() {
      await page.close();
      await world[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

/** Writes a file until the page shows it: a watcher that still starts, on a busy machine, misses what comes too early. */
async function editUntil(edit: (round: number) => void, seen: () => Promise<boolean>): Promise<void> {
  for (let round = 0; round < 6; round += 1) {
    edit(round);
    const end = Date.now() + 8_000;
    while (Date.now() < end) {
      if (await seen()) return;
      await setTimeout(50);
    }
  }
  throw new Error("the page never showed the edit");
}

/** Proves that a change came without the page being loaded again. */
async function mark(page: Page): Promise<void> {
  await page.evaluate("window.isStillTheSame = true");
}

// A first compilation takes seconds, on a busy machine many.
describe("in a browser", { timeout: 120_000 }, () => {
  it.each([
    ["Vite", VITE],
    ["webpack-dev-server", WEBPACK],
  ])("%s shows its page and replaces a module over its socket", async (_name, options) => {
    await using dev = await open(options);
    await dev.page.goto(dev.world.tunnel.url());
    await dev.page.waitForFunction('document.querySelector("#text").textContent === "first"');
    await dev.heard();
    await mark(dev.page);
    await editUntil(
      (round) => dev.server.edit("text.js", `export const text = "second"; // ${round}\n`),
      async () => (await dev.page.textContent("#text")) === "second",
    );
    expect(await dev.page.evaluate("window.isStillTheSame")).toBe(true);
    expect(dev.failed).toEqual([]);
  });

  it("Next.js hydrates its page and replaces a module over its socket", async () => {
    await using dev = await open(NEXT);
    await dev.page.goto(dev.world.tunnel.url());
    const button = dev.page.locator("#text");
    await expect
      .poll(
        async () => {
          await button.click();
          return await button.textContent();
        },
        { timeout: 30_000 },
      )
      .toMatch(/^first [1-9]/);
    await dev.heard();
    await mark(dev.page);
    await editUntil(
      (round) => dev.server.edit("app/text.js", `export const text = "second"; // ${round}\n`),
      async () => /^second [1-9]/.test((await button.textContent()) ?? ""),
    );
    expect(await dev.page.evaluate("window.isStillTheSame")).toBe(true);
    expect(dev.failed).toEqual([]);
  });

  it("Angular's dev server shows its page and replaces a template over its socket", async () => {
    await using dev = await open(ANGULAR);
    await dev.page.goto(dev.world.tunnel.url());
    await dev.page.waitForFunction('document.querySelector("#text")?.textContent === "first"');
    await dev.heard();
    await mark(dev.page);
    await editUntil(
      (round) => dev.server.edit("src/app.html", `<p id="text">second</p>\n<!-- ${round} -->\n`),
      async () => (await dev.page.textContent("#text")) === "second",
    );
    expect(await dev.page.evaluate("window.isStillTheSame")).toBe(true);
    expect(dev.failed).toEqual([]);
  });
});

describe("the host check", () => {
  it.each([
    [
      "Rails",
      {
        fixture: "rails-app",
        command: (port: number) => ["puma", "-b", `tcp://127.0.0.1:${port}`, "config.ru"] as const,
        env: () => ({ RAILS_ENV: "development", RACK_ENV: "development" }),
      },
    ],
    [
      "Django",
      {
        fixture: "django-app",
        command: (port: number) =>
          ["/usr/bin/python3", "app.py", "runserver", "--noreload", `127.0.0.1:${port}`] as const,
      },
    ],
  ])("of %s is met for pages and for HEAD", async (_name, options) => {
    await using server = await DevServer.start(options);
    await using world = await RealWorld.to(server.port, { domain: "example.test" });
    const { door } = world;
    for (const method of ["HEAD", "GET", "POST"]) {
      const answer = await ask(door, "/", { method });
      expect(answer.status, `${method}: ${answer.body.toString().slice(0, 300)}`).toBe(200);
      if (method !== "HEAD") expect(answer.body.toString()).toBe(`welcome to localhost:${server.port}`);
    }
  });
});

it("Vite answers to the public host where ggrok started it, at the port it chose itself", async () => {
  await using relay = await RelayProcess.start(["--domain", "example.test"]);
  await using place = new Place();
  const cwd = join(FIXTURES, "vite-app", "site");
  const vite = [process.execPath, script("vite-app", "vite/bin/vite.js"), "--port", String(await freePort())];
  await using agent = place.ggrok(["http", "--relay", relay.origin, "--", ...vite], { cwd });
  await agent.until("the address", () => agent.lines.some((line) => line.endsWith(`.example.test:${relay.port}`)));
  const url = agent.lines.find((line) => line.startsWith("http://")) ?? "";
  expect(await visit(url)).toMatchObject({ status: 200, text: expect.stringContaining("/@vite/client") });
  expect(agent.stderr).not.toContain("Host header:");
  agent.kill();
  await agent.exited;
});
