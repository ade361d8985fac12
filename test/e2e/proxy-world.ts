import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { type AddressInfo, createServer as createTcpServer, type Server as TcpServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { listenProxy, type ProxyListener } from "../../packages/client/src/proxy/listen.ts";
import { createProxy, type ForwardProxy, type ProxyOptions } from "../../packages/client/src/proxy/proxy.ts";
import { type Identity, PrivateCa } from "../harness/private-ca.ts";
import { RawClient } from "../harness/raw-client.ts";

/** Everything a test of the forward proxy started, ended in reverse order. */
export class ProxyWorld implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), "ggrok-proxy-"));
  readonly #ends: (() => unknown)[] = [];
  #ca: Promise<PrivateCa> | undefined;

  /** The authority of this world's certificates. */
  ca(): Promise<PrivateCa> {
    this.#ca ??= PrivateCa.create(this.folder);
    return this.#ca;
  }

  /** A forward proxy on a port of its own. */
  async proxy(
    options: Partial<ProxyOptions> = {},
  ): Promise<{ proxy: ForwardProxy; listener: ProxyListener; url: string }> {
    const proxy = createProxy({ isPublicOnly: false, ...options });
    const listener = await listenProxy({ host: "127.0.0.1", port: 0 }, proxy);
    this.onEnd(async () => {
      listener.close();
      await proxy.close(0);
    });
    return { proxy, listener, url: `http://127.0.0.1:${listener.port}` };
  }

  /** An HTTP origin. */
  async http(listener: RequestListener): Promise<{ server: Server; port: number }> {
    const server = createServer(listener);
    const port = await this.listen(server);
    this.onEnd(() => server.closeAllConnections());
    return { server, port };
  }

  /** An origin behind TLS. */
  async https(identity: Identity, listener: RequestListener): Promise<{ port: number }> {
    const server = createSecureServer(identity, listener);
    const port = await this.listen(server);
    this.onEnd(() => server.closeAllConnections());
    return { port };
  }

  /** A TCP server that does with its connections what the test says. */
  async tcp(serve: Parameters<typeof createTcpServer>[1]): Promise<{ server: TcpServer; port: number }> {
    const server = createTcpServer({ allowHalfOpen: true }, (socket) => {
      this.onEnd(() => socket.destroy());
      socket.on("error", () => {});
      serve?.(socket);
    });
    return { server, port: await this.listen(server) };
  }

  /** A client of bytes. */
  async dial(port: number, first?: string | Buffer): Promise<RawClient> {
    const client = await RawClient.connect(port, first === undefined ? {} : { first });
    this.onEnd(() => client[Symbol.asyncDispose]());
    return client;
  }

  /** Listens on loopback and ends with the world. */
  async listen(server: TcpServer): Promise<number> {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    this.onEnd(() => server.close());
    return (server.address() as AddressInfo).port;
  }

  onEnd(end: () => unknown): void {
    this.#ends.push(end);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const end of this.#ends.reverse()) await end();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** What curl did: exit code, output, messages. */
export function curl(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  return new Promise((resolve) => {
    const env = { PATH: process.env["PATH"] ?? "" };
    execFile("curl", ["-sS", "--max-time", "20", "-q", ...args], { env, maxBuffer: 64 << 20 }, (error, out, err) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), out, err });
    });
  });
}

/** A port that was free a moment ago, for programs that cannot choose one themselves. */
export async function freePort(): Promise<number> {
  const server = createTcpServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
