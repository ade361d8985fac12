import { ResetCode, type StreamReset } from "@ggrok/protocol";
import { describe, expect, it } from "vitest";
import { type BrokenExchange, decideAfterReset, isSafeMethod } from "./redispatch.ts";

const LIMITS = { maxAttempts: 5, safeRetries: 2 };
const get: BrokenExchange = {
  kind: "http",
  method: "GET",
  hasBody: false,
  isBodyWhole: true,
  hasAnswered: false,
  attempts: 1,
  safeRetries: 0,
};
const post: BrokenExchange = { ...get, method: "POST", hasBody: true };
const lost: StreamReset = { code: ResetCode.SessionLost, notProcessed: false, message: "", local: true };
const unseen: StreamReset = { ...lost, notProcessed: true };

describe("a session that broke", () => {
  it("sends again what certainly reached no app, whatever the method", () => {
    expect(decideAfterReset(post, unseen, LIMITS)).toBe("again");
    expect(decideAfterReset(get, unseen, LIMITS)).toBe("again");
  });

  it("cannot send a body again that it has not kept", () => {
    expect(decideAfterReset({ ...post, isBodyWhole: false }, unseen, LIMITS)).toBe("ERR_GGROK_SESSION_LOST");
  });

  it("sends a harmless request again, twice at most", () => {
    expect(decideAfterReset(get, lost, LIMITS)).toBe("retry");
    expect(decideAfterReset({ ...get, safeRetries: 1 }, lost, LIMITS)).toBe("retry");
    expect(decideAfterReset({ ...get, safeRetries: 2 }, lost, LIMITS)).toBe("ERR_GGROK_SESSION_LOST");
  });

  it("sends an upgrade again that has no answer yet", () => {
    expect(decideAfterReset({ ...get, kind: "upgrade" }, lost, LIMITS)).toBe("retry");
  });

  it.each([post, { ...post, hasBody: false }, { ...get, hasBody: true }, { ...get, hasAnswered: true }])(
    "takes %j for given",
    (exchange) => {
      expect(decideAfterReset(exchange, lost, LIMITS)).toBe("ERR_GGROK_SESSION_LOST");
    },
  );

  it("gives up after some attempts", () => {
    expect(decideAfterReset({ ...get, attempts: 5 }, unseen, LIMITS)).toBe("ERR_GGROK_SESSION_LOST");
  });
});

describe("an agent that says what happened", () => {
  it.each([
    [ResetCode.UpstreamRefused, "ERR_GGROK_UPSTREAM_REFUSED"],
    [ResetCode.UpstreamReset, "ERR_GGROK_UPSTREAM_RESET"],
    [ResetCode.UpstreamTimeout, "ERR_GGROK_UPSTREAM_TIMEOUT"],
    [ResetCode.UpstreamMalformed, "ERR_GGROK_UPSTREAM_MALFORMED"],
    [ResetCode.UpstreamTls, "ERR_GGROK_UPSTREAM_TLS_FAILED"],
    [ResetCode.SessionLost, "ERR_GGROK_SESSION_LOST"],
  ])("is believed: %i", (code, expected) => {
    expect(decideAfterReset(get, { ...lost, code, local: false }, LIMITS)).toBe(expected);
  });

  it("may hand an exchange back", () => {
    expect(
      decideAfterReset(post, { code: ResetCode.Draining, notProcessed: true, message: "", local: false }, LIMITS),
    ).toBe("again");
  });
});

it("knows the safe methods by their exact names", () => {
  expect(["GET", "HEAD", "OPTIONS", "QUERY"].every(isSafeMethod)).toBe(true);
  expect(["get", "POST", "PUT", "DELETE", ""].some(isSafeMethod)).toBe(false);
});
