import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { composeScreen, type ScreenModel, widthOf } from "./screen.ts";

const MODEL: ScreenModel = {
  status: "online",
  relay: "https://relay.example.com",
  version: "0.1.0",
  latencyMs: 21.4,
  webUrl: "http://127.0.0.1:4040",
  tunnels: [{ url: "https://x.relay.example.com", target: "http://localhost:3000" }],
  figures: { total: 12, open: 1, rate1: 0.2, rate5: 0.04, rate15: 0, p50Ms: 20, p90Ms: 1_200, p95Ms: 0, p99Ms: 0 },
  requests: [
    { id: "b", time: new Date(2026, 0, 1, 10, 0, 1), method: "POST", path: "/hook", status: 502, isOver: true },
    { id: "a", time: new Date(2026, 0, 1, 10, 0, 0), method: "GET", path: "/", status: 200, isOver: true },
  ],
  notices: [],
};

const textOf = (model: ScreenModel, columns = 100, rows = 40): string[] =>
  composeScreen(model, { columns, rows }).map((line) =>
    line
      .map((cell) => cell.text)
      .join("")
      .trimEnd(),
  );

describe("composeScreen", () => {
  it("shows ngrok's order and labels", () => {
    expect(textOf(MODEL)).toEqual([
      `ggrok${" ".repeat(79)}(Ctrl+C to quit)`,
      "",
      "Session Status                online",
      "Relay                         https://relay.example.com",
      "Version                       0.1.0",
      "Latency                       21ms",
      "Web Interface                 http://127.0.0.1:4040",
      "Forwarding                    https://x.relay.example.com -> http://localhost:3000",
      "",
      "Connections                   ttl     opn     rt1     rt5     p50     p90",
      "                              12      1       0.20    0.04    0.02    1.20",
      "",
      "HTTP Requests",
      "-------------",
      "",
      `10:00:01 POST    ${"/hook".padEnd(57)} 502 Bad Gateway`,
      `10:00:00 GET     ${"/".padEnd(57)} 200 OK`,
    ]);
  });

  it("never writes wider or longer than the terminal, nor a control byte", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: "binary" }),
        fc.string({ unit: "grapheme" }),
        fc.integer({ min: 1, max: 200 }),
        fc.integer({ min: 1, max: 60 }),
        (path, note, columns, rows) => {
          const [request] = MODEL.requests;
          const model: ScreenModel = {
            ...MODEL,
            notices: [note],
            requests:
              request === undefined ? [] : Array.from({ length: 30 }, () => ({ ...request, path, method: note })),
          };
          const lines = textOf(model, columns, rows);
          expect(lines.length).toBeLessThanOrEqual(rows);
          for (const line of lines) {
            expect(widthOf(line)).toBeLessThanOrEqual(columns);
            expect(line).not.toMatch(/\p{Cc}/u);
          }
        },
      ),
      { numRuns: 200 },
    );
  });

  it("tells what is missing", () => {
    const { latencyMs: _latency, webUrl: _web, ...rest } = MODEL;
    const lines = textOf({
      ...rest,
      status: "reconnecting",
      detail: "the connection broke; next try in 2 s",
      tunnels: [{ target: "http://localhost:3000", note: "nothing listens on localhost:3000 yet" }],
    });
    expect(lines).toContain("Session Status                reconnecting  the connection broke; next try in 2 s");
    expect(lines).toContain("                              nothing listens on localhost:3000 yet");
    expect(lines.some((line) => line.startsWith("Latency") || line.startsWith("Web Interface"))).toBe(false);
  });
});
