import { once } from "node:events";
import { mkdirSync } from "node:fs";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { Place, type Program, RelayProcess } from "../e2e/cli-world.ts";
import { launchBrowser } from "../harness/browser.ts";
import { createInspectedApp } from "./inspected-app.ts";

const IMAGES = fileURLToPath(new URL("../../docs/images/", import.meta.url));
/** Whether the pictures of docs/images are to be taken anew: they differ a little each time, so no ordinary run does it. */
const TAKES_PICTURES = process.env["GGROK_SCREENSHOTS"] === "1";
/** CI is slow, and other files run beside this one. */
const DEADLINE_MS = 20_000;

/** The page of a real agent behind a real relay, in a real browser. */
export class InspectorWorld implements AsyncDisposable {
  readonly place: Place;
  readonly origin: string;
  readonly tunnelUrl: string;
  readonly #browser: Browser;
  readonly #relay: RelayProcess;
  #agent: Program;
  readonly #app: Server;
  readonly #flags: readonly string[];
  readonly #faults: string[] = [];

  private constructor(o: {
    place: Place;
    origin: string;
    tunnelUrl: string;
    browser: Browser;
    relay: RelayProcess;
    agent: Program;
    app: Server;
    flags: readonly string[];
  }) {
    this.place = o.place;
    this.origin = o.origin;
    this.tunnelUrl = o.tunnelUrl;
    this.#browser = o.browser;
    this.#relay = o.relay;
    this.#agent = o.agent;
    this.#app = o.app;
    this.#flags = o.flags;
  }

  static async start(o: { flags?: readonly string[]; env?: NodeJS.ProcessEnv } = {}): Promise<InspectorWorld> {
    const browser = await launchBrowser();
    const place = new Place(o.env);
    const app = createInspectedApp();
    app.listen(0, "127.0.0.1");
    await once(app, "listening");
    const { port } = app.address() as AddressInfo;
    const relay = await RelayProcess.start();
    const flags = ["http", String(port), "--relay", relay.origin, "--url", "shop", "--json", ...(o.flags ?? [])];
    const agent = place.ggrok(flags);
    const { url: origin } = await agent.event("inspector.online");
    const { url: tunnelUrl } = await agent.event("tunnel.online");
    return new InspectorWorld({
      place,
      origin: String(origin),
      tunnelUrl: String(tunnelUrl),
      browser,
      relay,
      agent,
      app,
      flags,
    });
  }

  /** Opens the page, perhaps by another way to it. Whatever it asks for elsewhere, or fails at, counts as a fault. */
  async open(options: BrowserContextOptions = {}, origin: string = this.origin): Promise<Page> {
    const context = await this.#browser.newContext({
      viewport: { width: 1280, height: 800 },
      permissions: ["clipboard-read", "clipboard-write"],
      ...options,
    });
    context.setDefaultTimeout(DEADLINE_MS);
    const page = await context.newPage();
    page.on("request", (request) => {
      const url = request.url();
      if (!url.startsWith(origin) && !url.startsWith("blob:")) this.#faults.push(`asked for ${url}`);
    });
    page.on("pageerror", (error) => this.#faults.push(String(error)));
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") this.#faults.push(message.text());
    });
    await page.goto(origin);
    return page;
  }

  /** Ends the agent. */
  async stopAgent(): Promise<void> {
    this.#agent.kill();
    await this.#agent.exited;
  }

  /** Starts another agent in the place of the one that has ended. */
  async startAgent(): Promise<void> {
    this.#agent = this.place.ggrok([...this.#flags, "--web-addr", new URL(this.origin).host]);
    await this.#agent.event("tunnel.online");
  }

  /** What went wrong in any page since the last time. */
  takeFaults(): string[] {
    return this.#faults.splice(0);
  }

  /** Closes every page. */
  async closePages(): Promise<void> {
    await Promise.all(this.#browser.contexts().map((context) => context.close()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#browser.close();
    await this.#agent[Symbol.asyncDispose]();
    await this.#relay[Symbol.asyncDispose]();
    const closed = once(this.#app, "close");
    this.#app.close();
    this.#app.closeAllConnections();
    await closed;
    await this.place[Symbol.asyncDispose]();
  }
}

/** The row of an exchange, by what its path has. */
export function rowOf(page: Page, path: string): ReturnType<Page["locator"]> {
  return page.locator(".row:not(.head)").filter({ has: page.locator(".uri", { hasText: path }) });
}

/** Takes a picture for the documentation, where that is asked for. */
export async function takePicture(page: Page, name: string): Promise<void> {
  if (!TAKES_PICTURES) return;
  mkdirSync(IMAGES, { recursive: true });
  await page.screenshot({ path: join(IMAGES, `inspector-${name}.png`), animations: "disabled" });
}
