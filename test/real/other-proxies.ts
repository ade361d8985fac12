import { spawn } from "node:child_process";
import type { lookup } from "node:dns";
import { once } from "node:events";
import { connect, type LookupFunction } from "node:net";
import { Server as ProxyChain } from "proxy-chain";
import { freePort, type ProxyWorld } from "../e2e/proxy-world.ts";
import { eventually } from "../harness/deadline.ts";

/** What the proxies below want to hear, as it stands in a URL. */
export const LOGIN = "ann:p%40ss%3Aword";
const USER = "ann";
const PASSWORD = "p@ss:word";

/** A `proxy-chain` that wants a login, what it was asked for, and names that it alone knows. */
export async function startProxyChain(
  world: ProxyWorld,
  o: { key?: string; cert?: string; names?: Readonly<Record<string, string>> } = {},
): Promise<{ port: number; asked: string[] }> {
  const asked: string[] = [];
  const { key, cert } = o;
  const options: ConstructorParameters<typeof ProxyChain>[0] = {
    port: 0,
    host: "127.0.0.1",
    prepareRequestFunction: ({ hostname, port, username, password, isHttp }) => {
      const address = o.names?.[hostname];
      asked.push(`${isHttp ? "http" : "connect"} ${hostname}:${port}`);
      return {
        requestAuthentication: username !== USER || password !== PASSWORD,
        ...(address !== undefined && { dnsLookup: lookupAs(address) }),
      };
    },
  };
  const isSecure = key !== undefined && cert !== undefined;
  const server = new ProxyChain(isSecure ? { ...options, serverType: "https", httpsOptions: { key, cert } } : options);
  await server.listen();
  world.onEnd(() => server.close(true));
  return { port: server.port, asked };
}

/** microsocks on a free port, with a login. */
export async function startMicrosocks(world: ProxyWorld): Promise<number> {
  const port = await freePort();
  const child = spawn("microsocks", ["-i", "127.0.0.1", "-p", String(port), "-u", USER, "-P", PASSWORD], {
    stdio: "ignore",
  });
  world.onEnd(async () => {
    child.kill();
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  });
  let isUp = false;
  const knock = (): void => {
    const socket = connect(port, "127.0.0.1", () => {
      isUp = true;
      socket.destroy();
    });
    socket.on("error", () => {});
  };
  await eventually(
    () => `microsocks on port ${port}`,
    () => {
      if (!isUp) knock();
      return isUp;
    },
  );
  return port;
}

function lookupAs(address: string): typeof lookup {
  const answer: LookupFunction = (_hostname, options, done) => {
    if (options.all === true) done(null, [{ address, family: 4 }]);
    else done(null, address, 4);
  };
  // Called as net.connect calls a resolver; nobody asks for the promise form.
  return answer as typeof lookup;
}
