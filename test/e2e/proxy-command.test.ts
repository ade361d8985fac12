import { createServer } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { App, Place } from "./cli-world.ts";
import { curl, ProxyWorld } from "./proxy-world.ts";

let world: ProxyWorld;
let place: Place;
let app: App;

beforeAll(async () => {
  world = new ProxyWorld();
  place = new Place();
  app = await App.start((_request, response) => response.end("hello"));
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
  await app[Symbol.asyncDispose]();
  await place[Symbol.asyncDispose]();
});

describe("ggrok proxy", () => {
  it("prints its address alone, says the rest on standard error, and ends with a signal", async () => {
    await using program = place.ggrok(["proxy", "--listen", "127.0.0.1:0"]);
    const url = await program.line();
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    expect((await curl("-x", url, `http://localhost:${app.port}/secret?token=abc`)).out).toBe("hello");
    await program.until("the request in the log", () => program.stderr.includes("/secret"));
    expect(program.lines).toEqual([url]);
    expect(program.stderr).not.toContain("token=abc");
    program.kill("SIGINT");
    expect(await program.exited).toBe(0);
  });

  it("guards and asks for a login as soon as it listens for others", async () => {
    await using program = place.ggrok(["proxy", "--listen", "0.0.0.0:0", "--json", "--basic-auth", "ann:pw"]);
    const { url } = await program.event("proxy.online");
    const { port } = new URL(String(url));
    const status = async (...args: string[]): Promise<string> => {
      const target = `http://localhost:${app.port}/`;
      return (await curl("-o", "/dev/null", "-w", "%{http_code}", "-x", `127.0.0.1:${port}`, ...args, target)).out;
    };
    expect(await status()).toBe("407");
    expect(await status("-U", "ann:pw")).toBe("403");
    await program.event("request", 2);
    expect(program.events("request")).toMatchObject([
      { status: 407, error: "ERR_GGROK_PROXY_UNAUTHORIZED", path: `http://localhost:${app.port}/` },
      { status: 403, error: "ERR_GGROK_DESTINATION_FORBIDDEN" },
    ]);
    await using opened = place.ggrok([
      ...["proxy", "--listen", "0.0.0.0:0", "--json", "--basic-auth", "ann:pw", "--allow-private"],
    ]);
    const other = new URL(String((await opened.event("proxy.online"))["url"])).port;
    const { out } = await curl("-x", `127.0.0.1:${other}`, "-U", "ann:pw", `http://localhost:${app.port}/`);
    expect(out).toBe("hello");
  });

  it.each([
    [2, ["--listen", "0.0.0.0:0"], /needs --basic-auth/],
    [2, ["--listen", "nowhere"], /--listen/],
    [2, ["--listen", "127.0.0.1:0", "--basic-auth", "ann"], /user:password/],
    [2, ["--upstream", "ftp://proxy.example"], /http:\/\/, https:\/\/ or socks5:\/\//],
    [2, ["--upstream-rule", "*.example"], /is not HOST-GLOB=direct/],
    [3, ["--listen", "127.0.0.1:0", "--ca", "nowhere.pem"], /cannot be read/],
    [3, ["--url", "exit", "--basic-auth", "a:b"], /No relay is set/],
  ])("ends with %i for %j", async (exit, args, message) => {
    await using program = place.ggrok(["proxy", ...args]);
    expect(await program.exited, program.stderr).toBe(exit);
    expect(program.stderr).toMatch(message);
    expect(program.stdout).toBe("");
  });

  it("ends with 3 where another program has its port", async () => {
    const port = await world.listen(createServer());
    await using program = place.ggrok(["proxy", "--listen", `127.0.0.1:${port}`]);
    expect(await program.exited).toBe(3);
    expect(program.stderr).toContain(`cannot listen on 127.0.0.1:${port} (EADDRINUSE)`);
  });
});
