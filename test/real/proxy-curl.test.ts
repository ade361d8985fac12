import { writeFile } from "node:fs/promises";
import type { RequestListener } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { curl, ProxyWorld } from "../e2e/proxy-world.ts";

const PAIR = "ann:s3cret";
let world: ProxyWorld;
let open: string;
let guarded: string;
let httpPort: number;
let httpsPort: number;
let caPath: string;

beforeAll(async () => {
  world = new ProxyWorld();
  const ca = await world.ca();
  caPath = ca.path;
  const echo: RequestListener = (request, response) => {
    let body = "";
    request.setEncoding("utf8");
    request.on("data", (chunk: string) => {
      body += chunk;
    });
    request.on("end", () => {
      const { method, url, headers } = request;
      response.end(JSON.stringify({ method, url, headers, bytes: body.length }));
    });
  };
  httpPort = (await world.http(echo)).port;
  httpsPort = (await world.https(await ca.issue(["localhost", "127.0.0.1"]), echo)).port;
  open = (await world.proxy()).url;
  guarded = (await world.proxy({ credentials: [PAIR] })).url;
});
afterAll(() => world[Symbol.asyncDispose]());

describe("curl -x", () => {
  it("gets an http target by the absolute form", async () => {
    const { out, code } = await curl("-x", open, `http://localhost:${httpPort}/a?b=c`);
    expect(code).toBe(0);
    const seen = JSON.parse(out) as { url: string; headers: Record<string, string> };
    expect(seen.url).toBe("/a?b=c");
    expect(seen.headers["host"]).toBe(`localhost:${httpPort}`);
    expect(seen.headers["via"]).toMatch(/^1\.1 ggrok-[0-9a-f]{12}$/);
    expect(seen.headers["proxy-connection"]).toBeUndefined();
  });

  it("gets an https target with a private authority by CONNECT", async () => {
    const { out, err } = await curl("-x", open, "--cacert", caPath, `https://localhost:${httpsPort}/s`);
    expect(JSON.parse(out), err).toMatchObject({ method: "GET", url: "/s" });
    expect(JSON.parse(out)).not.toHaveProperty("headers.via");
  });

  it.each(["socks5h", "socks5"])("gets both by %s", async (scheme) => {
    const proxy = open.replace("http", scheme);
    const plain = await curl("-x", proxy, `http://localhost:${httpPort}/p`);
    expect(JSON.parse(plain.out)).toMatchObject({ url: "/p" });
    const secure = await curl("-x", proxy, "--cacert", caPath, `https://localhost:${httpsPort}/s`);
    expect(JSON.parse(secure.out)).toMatchObject({ url: "/s" });
  });

  it.each(["http", "socks5h"])("logs in over %s, and is refused with a wrong password or none", async (scheme) => {
    const address = guarded.replace("http://", "");
    const target = `http://localhost:${httpPort}/`;
    expect((await curl("-x", `${scheme}://${PAIR}@${address}`, target)).code).toBe(0);
    for (const login of ["ann:wrong@", "bob:s3cret@", ""]) {
      const { code, out } = await curl(
        "-x",
        `${scheme}://${login}${address}`,
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        target,
      );
      if (scheme === "http") expect(out).toBe("407");
      else expect(code).toBe(97);
    }
  });

  it("uploads and downloads without changing a byte", async () => {
    const body = "x".repeat(3_000_000);
    const file = `${world.folder}/upload`;
    await writeFile(file, body);
    const { out } = await curl("-x", open, "--data-binary", `@${file}`, `http://localhost:${httpPort}/up`);
    expect(JSON.parse(out)).toMatchObject({ method: "POST", bytes: body.length });
    const chunked = await curl(
      "-x",
      open,
      "-T",
      file,
      "-H",
      "Transfer-Encoding: chunked",
      `http://localhost:${httpPort}/put`,
    );
    expect(JSON.parse(chunked.out)).toMatchObject({
      method: "PUT",
      bytes: body.length,
      headers: { "transfer-encoding": "chunked" },
    });
  });

  it("is told what failed", async () => {
    const { port } = await world.tcp((socket) => socket.destroy());
    const status = async (url: string): Promise<string> =>
      (await curl("-x", open, "-o", "/dev/null", "-D", "-", url)).out;
    expect(await status(`http://localhost:${port}/`)).toMatch(
      /^HTTP\/1.1 502 [\s\S]*ggrok-error: ERR_GGROK_DESTINATION_RESET/,
    );
    expect(await status("http://nobody.invalid/")).toMatch(/^HTTP\/1.1 502 [\s\S]*ERR_GGROK_DESTINATION_UNKNOWN/);
    expect(await status("http://127.0.0.1:1/")).toMatch(/^HTTP\/1.1 502 [\s\S]*ERR_GGROK_DESTINATION_UNREACHABLE/);
    expect(await status("https://127.0.0.1:1/")).toMatch(/^HTTP\/1.1 502 [\s\S]*ERR_GGROK_DESTINATION_UNREACHABLE/);
    expect((await curl("-x", open.replace("http", "socks5h"), "http://127.0.0.1:1/")).err).toMatch(
      /connection refused|\(5\)/i,
    );
  });
});
