import { expect, it } from "vitest";
import { createLog, type LogFormat, type LogLevel } from "./log.ts";

function capture(format: LogFormat, level: LogLevel = "info") {
  const lines: string[] = [];
  const log = createLog({
    format,
    level,
    write: (line) => lines.push(line),
    now: () => new Date("2026-01-02T03:04:05.678Z"),
  });
  return { log, lines };
}

it("writes ngrok's logfmt", () => {
  const { log, lines } = capture("logfmt");
  log.write("info", "started tunnel", { obj: "tunnels", url: "https://x.example", note: "two words", none: undefined });
  expect(lines).toEqual([
    't=2026-01-02T03:04:05.678Z lvl=info msg="started tunnel" obj=tunnels url=https://x.example note="two words"\n',
  ]);
});

it("lets no value pretend to be another field or another line", () => {
  const { log, lines } = capture("logfmt");
  log.write("info", "request", { path: '/a" lvl=error msg="x', agent: "a\nlvl=error\u001b[2J" });
  expect(lines).toHaveLength(1);
  expect(lines[0]).toContain('path="/a\\" lvl=error msg=\\"x"');
  expect(lines[0]?.trimEnd()).not.toMatch(/[\n\u001b]/);
});

it("writes JSON that parses and drops what is below the level", () => {
  const { log, lines } = capture("json", "warn");
  log.write("info", "no");
  log.write("error", "yes", { n: 1 });
  expect(lines.map((line) => JSON.parse(line))).toEqual([
    { t: "2026-01-02T03:04:05.678Z", lvl: "error", msg: "yes", n: 1 },
  ]);
});
