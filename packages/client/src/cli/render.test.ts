import { Writable } from "node:stream";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createLog } from "./log.ts";
import { createJsonRenderer, createPlainRenderer, createScreenRenderer, type Output } from "./render.ts";

const ONLINE = { event: "tunnel.online", name: "a", url: "https://x.example", target: "http://localhost:1" } as const;
const REQUEST = {
  event: "request",
  id: "r",
  method: "GET",
  path: "/",
  status: 200,
  durationMs: 1,
  bytesIn: 0,
  bytesOut: 0,
} as const;

/** A terminal's size and what was written to it. */
class Terminal extends Writable {
  text = "";
  columns = 80;
  rows = 24;
  isTTY = true;
  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.text += chunk.toString("utf8");
    done();
  }
}

function setUp() {
  const stdout = new Terminal();
  const stderr = new Terminal();
  // Renderers use no more of a stream than this has.
  const output = { stdout, stderr } as unknown as Output;
  return { stdout, stderr, output };
}

describe("the JSON renderer", () => {
  it("writes one object a line, the event first, and nothing a terminal acts upon", () => {
    const { stdout, stderr, output } = setUp();
    const renderer = createJsonRenderer(output, undefined);
    renderer.event({ ...REQUEST, path: "/\u001b[2J\u009b\u202e\n" });
    renderer.notice("a\u001b[31mb");
    expect(stdout.text).toBe(
      '{"event":"request","id":"r","method":"GET","path":"/\\u001b[2J\\u009b\\u202e\\n","status":200,"durationMs":1,"bytesIn":0,"bytesOut":0}\n',
    );
    expect(stderr.text).toBe("a\\x1b[31mb\n");
  });
});

describe("the plain renderer", () => {
  it("prints bare URLs in the order of the configuration, each once", () => {
    const { stdout, output } = setUp();
    const renderer = createPlainRenderer(output, undefined, ["a", "b"]);
    renderer.event({ ...ONLINE, name: "b", url: "https://b.example" });
    expect(stdout.text).toBe("");
    renderer.event({ ...ONLINE, url: "https://a.example" });
    renderer.event({ event: "tunnel.offline", name: "a", reason: "session-lost" });
    renderer.event({ ...ONLINE, url: "https://a.example" });
    expect(stdout.text).toBe("https://a.example\nhttps://b.example\n");
  });

  it("keeps everything else off standard output", () => {
    const { stdout, stderr, output } = setUp();
    const log = createLog({ format: "term", level: "info", write: (line) => stderr.write(line) });
    const renderer = createPlainRenderer(output, log, ["a"]);
    renderer.event({ event: "session.reconnecting", attempt: 2, delayMs: 10, reason: "gone\r\nlvl=forged" });
    renderer.event(REQUEST);
    renderer.notice("look");
    expect(stdout.text).toBe("");
    expect(stderr.text.split("\n")).toHaveLength(4);
    expect(stderr.text).toContain("gone\\r\\nlvl=forged");
  });
});

describe("the screen", () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  function start() {
    const world = setUp();
    const renderer = createScreenRenderer({
      output: world.output,
      log: undefined,
      relay: "https://relay.example",
      version: "1.2.3",
      live: () => ({ tunnels: [{ url: "https://x.example", target: "http://localhost:1" }] }),
    });
    return { ...world, renderer };
  }

  it("shows the address and what came last, redrawn at most ten times a second", () => {
    const { stdout, renderer } = start();
    const frames = vi.spyOn(stdout, "cork");
    for (let i = 0; i < 1_000; i += 1) {
      renderer.exchangeStarted?.({ id: String(i), method: "GET", path: `/${i}` });
      renderer.event({ ...REQUEST, id: String(i) });
      vi.advanceTimersByTime(1);
    }
    expect(frames.mock.calls.length).toBeLessThanOrEqual(11);
    vi.advanceTimersByTime(100);
    expect(stdout.text).toContain("https://x.example");
    expect(stdout.text).toContain("/999");
    renderer.stop();
  });

  it("lets nothing from the wire reach the terminal as a command", () => {
    const { stdout, renderer } = start();
    stdout.text = "";
    renderer.exchangeStarted?.({ id: "1", method: "G\u001bc", path: "/\u001b]52;c;x\u0007\u009b2J" });
    renderer.notice("\u001b[8m");
    vi.advanceTimersByTime(100);
    expect(stdout.text).toContain("\\x1b]52;c;x\\x07\\x9b2J");
    expect(stdout.text).not.toContain("\u001b]52");
    expect(stdout.text).not.toContain("\u009b");
    expect(stdout.text).not.toContain("\u001bc");
    expect(stdout.text).not.toContain("\u001b[8m");
    renderer.stop();
  });

  it("follows a resize and gives the terminal back once", () => {
    const { stdout, renderer } = start();
    stdout.columns = 30;
    stdout.text = "";
    stdout.emit("resize");
    vi.advanceTimersByTime(100);
    const shown = stdout.text.replace(/\u001b\[[0-9;]*[A-Za-z]/g, "\n").split("\n");
    for (const line of shown) expect(line.length).toBeLessThanOrEqual(30);
    stdout.text = "";
    renderer.stop();
    renderer.stop();
    expect(stdout.text).toBe("\u001b[?1049l\u001b[?25h");
    vi.advanceTimersByTime(5_000);
    expect(stdout.text).toBe("\u001b[?1049l\u001b[?25h");
  });
});
