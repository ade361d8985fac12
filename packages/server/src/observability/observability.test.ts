import { PassThrough } from "node:stream";
import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { type ExchangeRecord, logExchange } from "./access-log.ts";
import { escapeControls } from "./escape.ts";
import { createLogger, type LogFormat, type Logger, type LogLevel, logEvent, logListening } from "./logger.ts";
import { Secret } from "./secret.ts";

function capture(format: LogFormat, level: LogLevel = "info"): { logger: Logger; text(): string } {
  const destination = new PassThrough();
  const logger = createLogger({ format, level, destination });
  return { logger, text: () => String(destination.read() ?? "") };
}

const EXCHANGE: ExchangeRecord = {
  id: "id-1",
  host: "app.example",
  method: "GET",
  path: "/a",
  status: 200,
  durationMs: 1.234,
  bytesIn: 0,
  bytesOut: 5,
  client: "192.0.2.1",
};

describe("the JSON log", () => {
  it("is one object a line with the event's name and fields", () => {
    const { logger, text } = capture("json");
    logEvent(logger, "relay.listening", { url: "http://h:1", port: 1 });
    expect(JSON.parse(text())).toMatchObject({ level: "info", event: "relay.listening", url: "http://h:1", port: 1 });
  });

  it("says where the relay listens at any level but silent", () => {
    const quiet = capture("json", "error");
    logEvent(quiet.logger, "session.online", {});
    logListening(quiet.logger, { url: "http://h:1", port: 1 });
    expect(JSON.parse(quiet.text())).toMatchObject({ event: "relay.listening", port: 1 });
    const silent = capture("json", "silent");
    logListening(silent.logger, { url: "http://h:1", port: 1 });
    expect(silent.text()).toBe("");
  });

  it("redacts what a careless call would give away", () => {
    const { logger, text } = capture("json");
    logger.info(
      {
        token: "hunter2",
        headers: { authorization: "hunter2", "set-cookie": ["hunter2"] },
        wrapped: new Secret("hunter2"),
      },
      "x",
    );
    const line = text();
    expect(line).not.toContain("hunter2");
    expect(line).toContain("[redacted]");
  });
});

describe("the access log", () => {
  it("leaves the query out, since tokens travel there", () => {
    const { logger, text } = capture("json");
    logExchange(logger, { ...EXCHANGE, path: "/cb?code=hunter2" });
    const line = text();
    expect(line).not.toContain("hunter2");
    expect(JSON.parse(line)).toMatchObject({
      event: "exchange",
      id: "id-1",
      path: "/cb",
      status: 200,
      durationMs: 1.2,
    });
  });

  it.each(["json", "term"] as const)("writes one line per request whatever the request says (%s)", (format) => {
    const { logger, text } = capture(format);
    logExchange(logger, {
      ...EXCHANGE,
      path: "/\u001b]52;c;x\u0007\r\nfake\u009b31m\u202e",
      host: "\u001b[2J",
      method: "G\nET",
    });
    const line = text();
    expect(line.trimEnd().split("\n")).toHaveLength(1);
    expect(escapeControls(line.trimEnd())).toBe(line.trimEnd());
  });

  it("costs nothing when the level hides it", () => {
    const destination = new PassThrough();
    logExchange(createLogger({ format: "json", level: "warn", destination }), EXCHANGE);
    expect(destination.read()).toBeNull();
  });
});

describe("Secret", () => {
  it("gives itself away only when asked", () => {
    const secret = new Secret("hunter2");
    expect(`${String(secret)} ${JSON.stringify({ secret })} ${inspect({ secret })}`).not.toContain("hunter2");
    expect(secret.reveal()).toBe("hunter2");
  });
});
