import { describe, expect, it } from "vitest";
import { describeListenFailure } from "./listen-failure.ts";

const failure = (fields: object): Error => Object.assign(new Error("it failed"), fields);

describe("describeListenFailure", () => {
  it.each([
    ["EADDRINUSE", "another port with --port"],
    ["EACCES", "above 1023"],
    ["EADDRNOTAVAIL", "--bind"],
    ["EINVAL", "another --port or --bind"],
  ])("says where, why and what to do for %s", (code, nextStep) => {
    const [what, next] = (
      describeListenFailure(failure({ syscall: "listen", code, address: "127.0.0.1", port: 8080 })) ?? ""
    ).split("\n");
    expect(what).toBe(`cannot listen on 127.0.0.1 port 8080 (${code})`);
    expect(next).toContain(nextStep);
  });

  it("names an address without a port, and a name that has none", () => {
    // Where there is no such address Node leaves the port out.
    expect(describeListenFailure(failure({ syscall: "listen", code: "EADDRNOTAVAIL", address: "192.0.2.1" }))).toMatch(
      /^cannot listen on 192\.0\.2\.1 \(EADDRNOTAVAIL\)\n/,
    );
    expect(
      describeListenFailure(failure({ syscall: "getaddrinfo", code: "ENOTFOUND", hostname: "nowhere.invalid" })),
    ).toMatch(/^--bind: the name nowhere\.invalid has no address \(ENOTFOUND\)\n/);
  });

  it("leaves every other failure alone", () => {
    expect(describeListenFailure(new Error("something else"))).toBeUndefined();
    expect(describeListenFailure(failure({ syscall: "open", code: "EACCES" }))).toBeUndefined();
    expect(describeListenFailure("text")).toBeUndefined();
  });
});
