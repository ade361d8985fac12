import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import { pattern } from "../harness/fault-app.ts";
import { RealWorld } from "./real-world.ts";

const run = promisify(execFile);
const UPLOAD_BYTES = 20_000_000;
const UPLOAD = Buffer.alloc(UPLOAD_BYTES, pattern(0, 65_537));
let world: RealWorld;
let folder: string;
let file: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ggrok-curl-"));
  file = join(folder, "upload");
  writeFileSync(file, UPLOAD);
  const app = createServer((request, response) => {
    if (request.url === "/range") {
      const [, from = "0", to = "9"] = /bytes=(\d+)-(\d+)/.exec(request.headers.range ?? "") ?? [];
      const body = pattern(0, 1_000).subarray(Number(from), Number(to) + 1);
      response.writeHead(206, { "content-range": `bytes ${from}-${to}/1000`, "content-length": body.length }).end(body);
      return;
    }
    const hash = createHash("sha256");
    let bytes = 0;
    request.on("data", (chunk: Buffer) => {
      hash.update(chunk);
      bytes += chunk.length;
    });
    request.on("end", () => {
      const { method, httpVersion, headers } = request;
      const framing = headers["content-length"] ?? headers["transfer-encoding"] ?? "none";
      response.end(JSON.stringify({ method, httpVersion, framing, bytes, sha256: hash.digest("hex") }));
    });
  });
  app.on("checkContinue", (request, response) => {
    if (request.url === "/refuse") {
      response.writeHead(417, { connection: "close" }).end("no");
      return;
    }
    response.writeContinue();
    app.emit("request", request, response);
  });
  world = await RealWorld.forwarding(app);
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

/** Runs curl against the tunnel. */
async function curl(path: string, ...args: string[]): Promise<string> {
  const { port, host } = world.door;
  const name = host.split(":")[0] ?? "";
  const all = ["-sS", "--max-time", "30", "--resolve", `${name}:${port}:127.0.0.1`, ...args, `http://${host}${path}`];
  return (await run("curl", all, { maxBuffer: 64 * 1024 * 1024 })).stdout;
}

const whole = { bytes: UPLOAD_BYTES, sha256: createHash("sha256").update(UPLOAD).digest("hex") };

it("uploads a file with its length", async () => {
  expect(JSON.parse(await curl("/", "-T", file))).toMatchObject({
    method: "PUT",
    framing: String(UPLOAD_BYTES),
    ...whole,
  });
});

it("uploads in chunks", async () => {
  const answer = await curl("/", "-T", file, "-H", "Transfer-Encoding: chunked");
  expect(JSON.parse(answer)).toMatchObject({ framing: "chunked", ...whole });
});

it("posts a form with a file", async () => {
  const answer = JSON.parse(await curl("/", "-F", `f=@${file}`, "-F", "a=b")) as { bytes: number };
  expect(answer.bytes).toBeGreaterThan(UPLOAD_BYTES);
});

it("waits for the app's 100 Continue, and gets its refusal without sending the body", async () => {
  const accepted = await curl("/", "-v", "--stderr", "-", "-T", file, "-H", "Expect: 100-continue");
  expect(accepted).toContain("< HTTP/1.1 100 Continue");
  expect(accepted).toContain(whole.sha256);
  const sent = await curl(
    "/refuse",
    "-T",
    file,
    "-H",
    "Expect: 100-continue",
    "-o",
    "/dev/null",
    "-w",
    "%{http_code} %{size_upload}",
  );
  expect(sent).toBe("417 0");
});

it("gets a range", async () => {
  expect(await curl("/range", "-r", "10-19", "-w", " %{http_code}")).toBe(`${pattern(10, 10).toString("utf8")} 206`);
});

it("speaks HTTP/1.0", async () => {
  const answer = await curl("/", "-0", "-i");
  expect(answer).toMatch(/^HTTP\/1\.1 200 OK/);
  expect(answer.toLowerCase()).not.toContain("transfer-encoding");
  expect(answer).toContain('"bytes":0');
});

it("asks for the head alone", async () => {
  const answer = await curl("/", "-I");
  expect(answer).toMatch(/^HTTP\/1\.1 200 OK/);
  expect(answer).not.toContain('"method"');
});

it("uses one connection for several requests", async () => {
  const url = world.tunnel.url();
  const written = await curl(
    "/a",
    "-o",
    "/dev/null",
    "-w",
    "%{num_connects}\n",
    `${url}/b`,
    "-o",
    "/dev/null",
    `${url}/c`,
    "-o",
    "/dev/null",
  );
  expect(written.trim().split("\n")).toEqual(["1", "0", "0"]);
});
