import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import type { RequestListener, Server } from "node:http";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRelay, type Relay } from "@ggrok/server";
import { forward, type Listener, type Servable, serve } from "ggrok";
import { type Door, doorOf } from "../harness/visitors.ts";

/** A relay and one tunnel in this process, for software that was not written here. */
export class RealWorld implements AsyncDisposable {
  readonly relay: Relay;
  readonly tunnel: Listener;
  readonly #folder: string;
  readonly #server: Server | undefined;

  private constructor(o: { relay: Relay; tunnel: Listener; folder: string; server?: Server }) {
    this.relay = o.relay;
    this.tunnel = o.tunnel;
    this.#folder = o.folder;
    this.#server = o.server;
  }

  /** A tunnel to an app on a port of its own. */
  static async forwarding(app: RequestListener | Server): Promise<RealWorld> {
    const server = typeof app === "function" ? createServer(app) : app;
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { relay, folder, options } = await startRelay();
    const tunnel = await forward({ addr: (server.address() as AddressInfo).port, ...options });
    return new RealWorld({ relay, tunnel, folder, server });
  }

  /** A tunnel to something that listens already, under a name below `domain`. */
  static async to(port: number, o: { domain: string }): Promise<RealWorld> {
    const { relay, folder, options } = await startRelay(o.domain);
    return new RealWorld({ relay, tunnel: await forward({ addr: port, ...options }), folder });
  }

  /** A tunnel to an app that the library serves itself. */
  static async serving(app: Servable): Promise<RealWorld> {
    const { relay, folder, options } = await startRelay();
    return new RealWorld({ relay, tunnel: await serve(app, options), folder });
  }

  /** Where visitors enter. */
  get door(): Door {
    return doorOf(this.tunnel.url());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.tunnel.close();
    await this.relay.close(1_000);
    if (this.#server !== undefined) {
      const closed = once(this.#server, "close");
      this.#server.close();
      this.#server.closeAllConnections();
      await closed;
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

async function startRelay(domain = "localhost"): Promise<{
  relay: Relay;
  folder: string;
  options: { relay: string; url: string; folder: string };
}> {
  const folder = mkdtempSync(join(tmpdir(), "ggrok-real-"));
  process.env["XDG_STATE_HOME"] = join(folder, "state");
  process.env["XDG_CONFIG_HOME"] = join(folder, "config");
  const relay = await createRelay({ bind: "127.0.0.1", domain });
  return { relay, folder, options: { relay: `http://localhost:${relay.port}`, url: "real", folder } };
}
