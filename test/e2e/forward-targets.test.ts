import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ResetCode } from "@ggrok/protocol";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseMounts } from "../../packages/client/src/forward/mounts.ts";
import { ForwardWorld, startApp, startRawApp } from "./forward-world.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ggrok-targets-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("unix:", () => {
  it("reaches an app on a Unix socket, by both HTTP clients and for upgrades", async () => {
    const path = join(folder, "app.sock");
    const server = createServer((request, response) => {
      request.resume().on("end", () => response.end(`${request.method} ${request.headers.host}`));
    });
    server.on("upgrade", (_request, socket) => {
      socket.end("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nhello");
    });
    server.listen(path);
    await once(server, "listening");
    await using world = new ForwardWorld(`unix:${path}`);
    expect((await world.open({}).ended()).body.toString()).toBe("GET demo.test");
    const post = world.open({ method: "POST", body: "x", fields: ["Host", "demo.test", "Content-Length", "1"] });
    expect((await post.ended()).body.toString()).toBe("POST demo.test");
    const upgrade = world.open({
      kind: "upgrade",
      fields: ["Host", "demo.test", "Connection", "Upgrade", "Upgrade", "x"],
      isOpen: true,
    });
    await upgrade.until(() => upgrade.body.toString() === "hello");
    upgrade.end();
    server.close();
    server.closeAllConnections();
  });

  it("is refused while nobody listens there", async () => {
    await using world = new ForwardWorld(`unix:${join(folder, "nobody.sock")}`);
    expect((await world.open({}).failed()).code).toBe(ResetCode.UpstreamRefused);
  });
});

describe("--mount", () => {
  it("gives each path to its app, the longest first, upgrades included", async () => {
    const name = (text: string) =>
      startApp((request, response) =>
        response.end(`${text} ${request.url} ${request.headers["x-forwarded-prefix"] ?? "-"}`),
      );
    await using main = await name("main");
    await using api = await name("api");
    await using deep = await name("deep");
    await using socket = await startRawApp(async (connection, received) => {
      const head = await received.until("\r\n\r\n");
      connection.write(
        `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n${head.split(" ")[1]}`,
      );
    });
    const mounts = parseMounts([
      `/api=${api.port}`,
      `/api/deep=http://localhost:${deep.port}/base`,
      `/socket=${socket.port}`,
    ]);
    const ask = async (world: ForwardWorld, target: string) => (await world.open({ target }).ended()).body.toString();

    await using kept = new ForwardWorld(main.port, { mounts });
    expect(await ask(kept, "/")).toBe("main / -");
    expect(await ask(kept, "/apix")).toBe("main /apix -");
    expect(await ask(kept, "/api")).toBe("api /api -");
    expect(await ask(kept, "/api/x?y")).toBe("api /api/x?y -");
    expect(await ask(kept, "/api/deep/z")).toBe("deep /base/api/deep/z -");
    const fields = ["Host", "demo.test", "Connection", "Upgrade", "Upgrade", "x"];
    const upgrade = kept.open({ kind: "upgrade", target: "/socket/a", fields, isOpen: true });
    await upgrade.until(() => upgrade.body.toString() === "/socket/a");

    await using stripped = new ForwardWorld(main.port, { mounts, isPrefixStripped: true });
    expect(await ask(stripped, "/api")).toBe("api / /api");
    expect(await ask(stripped, "/api/deep/z?q")).toBe("deep /base/z?q /api/deep");
    expect(await ask(stripped, "/other")).toBe("main /other -");
    const below = stripped.open({ target: "/api/x", fields: ["Host", "demo.test", "X-Forwarded-Prefix", "/alice"] });
    expect((await below.ended()).body.toString()).toBe("api /x /alice/api");
    const short = stripped.open({ kind: "upgrade", target: "/socket/a", fields, isOpen: true });
    await short.until(() => short.body.toString() === "/a");
  });
});

describe("an unasked 100 (Continue)", () => {
  it.each(["GET", "HEAD", "DELETE"])("does not break a %s, and later ones go the other way at once", async (method) => {
    let requests = 0;
    await using app = await startRawApp(async (socket, received) => {
      for (let n = 1; ; n++) {
        await received.until("\r\n\r\n", n);
        requests += 1;
        socket.write(
          `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: ${method === "HEAD" ? 0 : "2\r\n\r\nok"}${method === "HEAD" ? "\r\n\r\n" : ""}`,
        );
      }
    });
    await using world = new ForwardWorld(app.port);
    expect((await world.open({ method }).ended()).status).toBe(200);
    expect(requests).toBe(2);
    expect((await world.open({ method }).ended()).status).toBe(200);
    expect(requests).toBe(3);
  });
});

describe("file:", () => {
  let site: string;
  const url = () => `file://${site}`;
  const ask = async (world: ForwardWorld, target: string, o: { method?: string; fields?: string[] } = {}) => {
    const visit = world.open({
      target,
      ...(o.method !== undefined && { method: o.method }),
      fields: ["Host", "demo.test", ...(o.fields ?? [])],
    });
    const { status, body } = await visit.ended();
    const fields = visit.final?.fields ?? [];
    const field = (name: string) =>
      fields[fields.findIndex((part, i) => i % 2 === 0 && part.toLowerCase() === name) + 1];
    return { status, body: body.toString(), field };
  };
  beforeAll(() => {
    site = join(folder, "site");
    mkdirSync(join(site, "sub"), { recursive: true });
    mkdirSync(join(site, "empty"));
    mkdirSync(join(site, ".git"));
    mkdirSync(join(site, ".well-known"));
    writeFileSync(join(folder, "secret.txt"), "secret");
    writeFileSync(join(site, "index.html"), "<h1>home</h1>");
    writeFileSync(join(site, "sub", "index.html"), "sub");
    writeFileSync(join(site, "a b.css"), "p{}");
    writeFileSync(join(site, "data.bin"), "0123456789");
    writeFileSync(join(site, ".env"), "secret");
    writeFileSync(join(site, ".git", "config"), "secret");
    writeFileSync(join(site, ".well-known", "x.txt"), "known");
    symlinkSync(join(folder, "secret.txt"), join(site, "link.txt"));
    symlinkSync(folder, join(site, "out"));
    symlinkSync(join(site, ".env"), join(site, "env.txt"));
    symlinkSync(join(site, "data.bin"), join(site, "inside.bin"));
    mkdirSync(join(site, "trap"));
    symlinkSync(join(folder, "secret.txt"), join(site, "trap", "index.html"));
  });

  it("serves files with types, validators and ranges, and a folder's index", async () => {
    await using world = new ForwardWorld(url());
    const home = await ask(world, "/");
    expect(home).toMatchObject({ status: 200, body: "<h1>home</h1>" });
    expect(home.field("content-type")).toBe("text/html; charset=utf-8");
    expect((await ask(world, "/a%20b.css?v=1")).field("content-type")).toBe("text/css; charset=utf-8");
    expect(await ask(world, "/sub/")).toMatchObject({ status: 200, body: "sub" });
    expect(await ask(world, "/inside.bin")).toMatchObject({ status: 200, body: "0123456789" });
    expect(await ask(world, "/.well-known/x.txt")).toMatchObject({ status: 200, body: "known" });

    const part = await ask(world, "/data.bin", { fields: ["Range", "bytes=2-4"] });
    expect(part).toMatchObject({ status: 206, body: "234" });
    expect(part.field("content-range")).toBe("bytes 2-4/10");
    expect((await ask(world, "/data.bin", { fields: ["Range", "bytes=99-"] })).status).toBe(416);
    const etag = part.field("etag") ?? "";
    expect((await ask(world, "/data.bin", { fields: ["If-None-Match", etag] })).status).toBe(304);
    const head = await ask(world, "/data.bin", { method: "HEAD" });
    expect([head.status, head.body, head.field("content-length")]).toEqual([200, "", "10"]);
  });

  it("sends a folder without its slash there, within the site", async () => {
    await using world = new ForwardWorld(url());
    const moved = await ask(world, "/sub?a=b");
    expect([moved.status, moved.field("location")]).toEqual([301, "/sub/?a=b"]);
    expect((await ask(world, "//sub")).field("location")).toBe("/sub/");
  });

  it.each([
    "/../secret.txt",
    "/sub/../../secret.txt",
    "/%2e%2e/secret.txt",
    "/..%2fsecret.txt",
    "/%2e%2e%2fsecret.txt",
    "/sub/%2e%2e/%2e%2e/secret.txt",
    "/..%5csecret.txt",
    "/link.txt",
    "/out/secret.txt",
    "/out/site/../secret.txt",
    "/trap/",
    "/.env",
    "/%2eenv",
    "/env.txt",
    "/.git/config",
    "/sub/.well-known/x",
    "/empty/",
    "/index.html/",
    "/none",
    "/%00",
    "/data.bin%00.html",
  ])("does not serve %s", async (target) => {
    await using world = new ForwardWorld(url());
    const { status, body } = await ask(world, target);
    expect(status).toBe(404);
    expect(body).not.toContain("secret");
  });

  it("refuses broken encoding and other methods, and stays there", async () => {
    await using world = new ForwardWorld(url());
    expect((await ask(world, "/%zz")).status).toBe(400);
    const post = world.open({ method: "POST", body: "x", fields: ["Host", "demo.test", "Content-Length", "1"] });
    expect((await post.ended()).status).toBe(405);
    expect((await ask(world, "/")).status).toBe(200);
  });

  it("answers 404 while the folder is not there", async () => {
    await using world = new ForwardWorld(`file://${join(folder, "missing")}`);
    expect((await ask(world, "/")).status).toBe(404);
  });
});
