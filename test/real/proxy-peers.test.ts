import { once } from "node:events";
import { type Agent, get as getHttp, type RequestListener } from "node:http";
import { get as getHttps } from "node:https";
import { connect } from "node:net";
import { HttpsProxyAgent } from "https-proxy-agent";
import { SocksProxyAgent } from "socks-proxy-agent";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseProxyUrl } from "../../packages/client/src/proxy/proxy-url.ts";
import { parseUpstreamRule } from "../../packages/client/src/proxy/rules.ts";
import { curl, ProxyWorld } from "../e2e/proxy-world.ts";
import type { PrivateCa } from "../harness/private-ca.ts";
import { LOGIN, startMicrosocks, startProxyChain } from "./other-proxies.ts";

let world: ProxyWorld;
let ca: PrivateCa;
let httpUrl: string;
let httpsUrl: string;

beforeAll(async () => {
  world = new ProxyWorld();
  ca = await world.ca();
  const hello: RequestListener = (request, response) => {
    response.end(`${request.headers.host} ${request.headers.via ?? "direct"} ${request.socket.remotePort}`);
  };
  httpUrl = `http://localhost:${(await world.http(hello)).port}`;
  httpsUrl = `https://localhost:${(await world.https(await ca.issue(["localhost"]), hello)).port}`;
});
afterAll(() => world[Symbol.asyncDispose]());

/** Fetches through an agent of someone else's making. */
async function fetchBy(agent: Agent, url: string): Promise<string> {
  const { readFile } = await import("node:fs/promises");
  const request = url.startsWith("https:")
    ? getHttps(url, { agent, ca: await readFile(ca.path) })
    : getHttp(url, { agent });
  const [response] = (await once(request, "response", { signal: AbortSignal.timeout(10_000) })) as [
    AsyncIterable<Buffer>,
  ];
  let text = "";
  for await (const chunk of response) text += chunk.toString("utf8");
  return text;
}

describe("clients of others", () => {
  it("socks-proxy-agent gets http and https targets, with a login", async () => {
    const { listener } = await world.proxy({ credentials: ["ann:p@ss:word"] });
    const agent = new SocksProxyAgent(`socks5h://${LOGIN}@127.0.0.1:${listener.port}`);
    expect(await fetchBy(agent, httpUrl)).toContain("direct");
    expect(await fetchBy(agent, httpsUrl)).toContain("direct");
    const wrong = new SocksProxyAgent(`socks5h://ann:wrong@127.0.0.1:${listener.port}`);
    await expect(fetchBy(wrong, httpUrl)).rejects.toThrow(/authentication/i);
  });

  it("https-proxy-agent gets an https target by CONNECT, and sees the 407", async () => {
    const { listener } = await world.proxy({ credentials: ["ann:p@ss:word"] });
    const agent = new HttpsProxyAgent(`http://${LOGIN}@127.0.0.1:${listener.port}`);
    expect(await fetchBy(agent, httpsUrl)).toContain("direct");
    const [response] = (await once(
      getHttps(httpsUrl, { agent: new HttpsProxyAgent(`http://127.0.0.1:${listener.port}`) }),
      "response",
    )) as [{ statusCode: number; destroy(): void }];
    expect(response.statusCode).toBe(407);
    response.destroy();
  });
});

describe("other proxies upstream", () => {
  const through = async (upstream: string, ...targets: string[]): Promise<string[]> => {
    const { url } = await world.proxy({ upstream: parseProxyUrl(upstream), ca: [await caText()] });
    const outs: string[] = [];
    for (const target of targets) {
      const { out, err } = await curl("-x", url, "--cacert", ca.path, "-w", " %{http_code}", target);
      outs.push(err + out);
    }
    return outs;
  };
  const caText = async (): Promise<string> => (await import("node:fs/promises")).readFile(ca.path, "utf8");

  it("proxy-chain with a login carries requests and tunnels", async () => {
    const chain = await startProxyChain(world);
    const [plain, secure] = await through(`http://${LOGIN}@127.0.0.1:${chain.port}`, httpUrl, httpsUrl);
    expect(plain).toMatch(/ 200$/);
    expect(plain).toContain("1.1 ggrok-");
    expect(secure).toMatch(/direct \d+ 200$/);
    expect(chain.asked).toEqual([`http ${new URL(httpUrl).host}`, `connect ${new URL(httpsUrl).host}`]);
  });

  it("proxy-chain behind TLS with a private authority does too", async () => {
    const chain = await startProxyChain(world, await ca.issue(["localhost"]));
    const outs = await through(`https://${LOGIN}@localhost:${chain.port}`, httpUrl, httpsUrl);
    for (const out of outs) expect(out).toMatch(/ 200$/);
    const untrusted = await world.proxy({ upstream: parseProxyUrl(`https://${LOGIN}@localhost:${chain.port}`) });
    const { out } = await curl("-x", untrusted.url, "-D", "-", httpUrl);
    expect(out).toMatch(/^HTTP\/1.1 502 [\s\S]*ERR_GGROK_UPSTREAM_PROXY_FAILED[\s\S]*certificate/);
  });

  it("microsocks with a login does too, and resolves the names", async () => {
    const port = await startMicrosocks(world);
    const outs = await through(`socks5://${LOGIN}@127.0.0.1:${port}`, httpUrl, httpsUrl);
    for (const out of outs) expect(out).toMatch(/direct|ggrok/);
    const [refused] = await through(`socks5://${LOGIN}@127.0.0.1:${port}`, "http://127.0.0.1:1/");
    expect(refused).toMatch(/did not connect to 127\.0\.0\.1:1: .*[\s\S]* 502$/);
  });

  it("that refuse our login are our failure and not a 407 for the client", async () => {
    const chain = await startProxyChain(world);
    const socks = await startMicrosocks(world);
    for (const upstream of [
      `http://ann:no@127.0.0.1:${chain.port}`,
      `http://127.0.0.1:${chain.port}`,
      `socks5://ann:no@127.0.0.1:${socks}`,
    ]) {
      const [plain, secure] = await through(upstream, httpUrl, httpsUrl);
      expect(plain, upstream).toMatch(/[\s\S]* 502$/);
      expect(secure, upstream).toMatch(/502/);
    }
  });

  it("are chosen by rules, and only where a rule or the default says so", async () => {
    const chain = await startProxyChain(world);
    const { url } = await world.proxy({
      rules: [
        parseUpstreamRule(`localhost:${new URL(httpsUrl).port}=direct`, {}),
        parseUpstreamRule(`local*=http://${LOGIN}@127.0.0.1:${chain.port}`, {}),
      ],
    });
    await curl("-x", url, httpUrl);
    await curl("-x", url, "--cacert", ca.path, httpsUrl);
    await curl("-x", url, httpUrl.replace("localhost", "127.0.0.1"));
    expect(chain.asked).toEqual([`http ${new URL(httpUrl).host}`]);
  });

  it("of plain requests share their connections among clients", async () => {
    const chain = await startProxyChain(world);
    let connections = 0;
    const front = await world.tcp((socket) => {
      connections += 1;
      const behind = connect(chain.port, "127.0.0.1");
      behind.on("error", () => {});
      world.onEnd(() => behind.destroy());
      socket.pipe(behind).pipe(socket);
    });
    await through(`http://${LOGIN}@127.0.0.1:${front.port}`, httpUrl, httpUrl, httpUrl);
    expect(chain.asked).toHaveLength(3);
    expect(connections).toBe(1);
  });
});
