import { scryptSync } from "node:crypto";
import { describe, expect, it } from "vitest";
import { type Admission, type Visitor, VisitorGate, withoutAuthorization } from "./gate.ts";
import { parseVisitorRules, type VisitorRules } from "./rules.ts";

const SALT = Buffer.alloc(16, 7);

function hashOf(credentials: string): string {
  return scryptSync(credentials, SALT, 32, { N: 2_048, r: 8, p: 1 }).toString("base64url");
}

function rulesOf(options: unknown): VisitorRules {
  const rules = parseVisitorRules(options);
  if (rules === undefined || typeof rules === "string") throw new Error(String(rules));
  return rules;
}

const LOGIN = { salt: SALT.toString("base64url"), hashes: [hashOf("ada:s3cret"), hashOf("bob:pa:ss")] };

function visitor(o: Partial<Visitor> & { basic?: string } = {}): Visitor {
  const { basic, ...rest } = o;
  const fields = basic === undefined ? [] : ["Authorization", `Basic ${Buffer.from(basic).toString("base64")}`];
  return { method: "GET", target: "/", host: "app.example.com", client: "192.0.2.1", fields, ...rest };
}

function admit(gate: VisitorGate, who: Visitor, o: { isNew?: boolean; now?: number } = {}): Admission {
  return gate.admit(who, o.isNew ?? true, o.now ?? 0);
}

const UNAUTHORIZED = {
  refused: "ERR_GGROK_VISITOR_UNAUTHORIZED",
  challenge: 'Basic realm="app.example.com", charset="UTF-8"',
};

describe("logging in", () => {
  it("lets every user in, once and again, and hides the field from the app", () => {
    const gate = new VisitorGate(rulesOf({ basicAuth: LOGIN }));
    for (const basic of ["ada:s3cret", "bob:pa:ss", "ada:s3cret"])
      expect(admit(gate, visitor({ basic }))).toEqual({ hidesAuthorization: true });
  });

  it("shows the field to the app where the tunnel says so", () => {
    const gate = new VisitorGate(rulesOf({ basicAuth: LOGIN, passAuthorization: true }));
    expect(admit(gate, visitor({ basic: "ada:s3cret" }))).toEqual({ hidesAuthorization: false });
  });

  it.each([undefined, "ada:wrong", "eve:s3cret", "ada", "ada:s3cret ", ""])(
    "refuses %j and says how to log in",
    (basic) => {
      const gate = new VisitorGate(rulesOf({ basicAuth: LOGIN }));
      expect(admit(gate, visitor(basic === undefined ? {} : { basic }))).toEqual(UNAUTHORIZED);
    },
  );

  it.each([
    ["Bearer abc"],
    ["Basic"],
    ["Basic !!!!"],
    [`Basic ${Buffer.from("ada:s3cret").toString("base64")}, Basic eDp5`],
    [`Basic ${"A".repeat(3_000)}`],
  ])("refuses the field %s", (value) => {
    const gate = new VisitorGate(rulesOf({ basicAuth: LOGIN }));
    expect(admit(gate, visitor({ fields: ["authorization", value] }))).toEqual(UNAUTHORIZED);
  });

  it("refuses two fields, one of them right", () => {
    const { fields } = visitor({ basic: "ada:s3cret" });
    const gate = new VisitorGate(rulesOf({ basicAuth: LOGIN }));
    expect(admit(gate, visitor({ fields: [...fields, "Authorization", "Basic eDp5"] }))).toEqual(UNAUTHORIZED);
  });

  it("makes an address wait after ten wrong passwords, and nobody else", () => {
    const gate = new VisitorGate(rulesOf({ basicAuth: LOGIN }));
    for (let i = 0; i < 10; i += 1) expect(admit(gate, visitor({ basic: `ada:${i}` }))).toEqual(UNAUTHORIZED);
    const tooFast = { refused: "ERR_GGROK_VISITOR_RATE_LIMITED", retryAfterS: 6 };
    expect(admit(gate, visitor({ basic: "ada:10" }))).toEqual(tooFast);
    expect(admit(gate, visitor({ basic: "ada:s3cret" }))).toEqual(tooFast);
    expect(admit(gate, visitor({ basic: "ada:s3cret", client: "192.0.2.2" }))).toEqual({ hidesAuthorization: true });
    expect(admit(gate, visitor({ basic: "ada:s3cret" }))).toEqual({ hidesAuthorization: true });
    expect(admit(gate, visitor({ basic: "ada:11" }), { now: 6_000 })).toEqual(UNAUTHORIZED);
  });

  it("tries so many wrong passwords a second and no more, whatever addresses they come from", () => {
    const gate = new VisitorGate(rulesOf({ basicAuth: LOGIN }));
    const outcomes = Array.from({ length: 40 }, (_, i) =>
      admit(gate, visitor({ basic: `ada:${i}`, client: `198.51.100.${i}` })),
    );
    expect(outcomes.filter(({ refused }) => refused === "ERR_GGROK_VISITOR_UNAUTHORIZED")).toHaveLength(20);
  });
});

describe("what needs no log-in", () => {
  const rules = rulesOf({ basicAuth: LOGIN, open: ["/hooks/*"] });

  it("is an open path, whose own Authorization field passes", () => {
    const gate = new VisitorGate(rules);
    expect(admit(gate, visitor({ target: "/hooks/a?x=1" }))).toEqual({ hidesAuthorization: false });
    expect(admit(gate, visitor({ target: "/hooks/a", fields: ["Authorization", "Bearer x"] }))).toEqual({
      hidesAuthorization: false,
    });
    for (let i = 0; i < 50; i += 1) {
      expect(admit(gate, visitor({ target: "/hooks/a", basic: "app:own" }))).toEqual({ hidesAuthorization: false });
    }
  });

  it("hides the tunnel's own password on an open path too", () => {
    expect(admit(new VisitorGate(rules), visitor({ target: "/hooks/a", basic: "ada:s3cret" }))).toEqual({
      hidesAuthorization: true,
    });
  });

  it("is not a path beside it", () => {
    for (const target of ["/", "/hooks", "/hooks/../admin", "/hooks/a%2f..%2fadmin"])
      expect(admit(new VisitorGate(rules), visitor({ target }))).toEqual(UNAUTHORIZED);
  });

  it("is a CORS preflight, and no other OPTIONS", () => {
    const preflight = ["Origin", "https://a.example", "Access-Control-Request-Method", "PUT"];
    const gate = new VisitorGate(rules);
    expect(admit(gate, visitor({ method: "OPTIONS", fields: preflight }))).toEqual({ hidesAuthorization: false });
    expect(admit(gate, visitor({ method: "OPTIONS", fields: preflight.slice(0, 2) }))).toEqual(UNAUTHORIZED);
    expect(admit(gate, visitor({ method: "GET", fields: preflight }))).toEqual(UNAUTHORIZED);
  });
});

describe("addresses and rates", () => {
  it("lets in who is allowed and not denied", () => {
    const gate = new VisitorGate(rulesOf({ cidrAllow: ["192.0.2.0/24", "2001:db8::/32"], cidrDeny: ["192.0.2.66"] }));
    const isIn = (client: string): boolean => admit(gate, visitor({ client })).refused === undefined;
    expect(["192.0.2.1", "2001:db8::1"].map(isIn)).toEqual([true, true]);
    expect(["192.0.2.66", "198.51.100.1", "2001:db9::1", "unknown"].map(isIn)).toEqual([false, false, false, false]);
  });

  it("asks for the address before the password, and lets nobody in by an open path", () => {
    const gate = new VisitorGate(rulesOf({ cidrAllow: ["192.0.2.0/24"], basicAuth: LOGIN, open: ["/**"] }));
    expect(admit(gate, visitor({ client: "198.51.100.1" }))).toEqual({ refused: "ERR_GGROK_VISITOR_FORBIDDEN" });
  });

  it("counts an exchange once, however often it is asked about", () => {
    const gate = new VisitorGate(rulesOf({ rateLimit: { perSecond: 1, burst: 2 } }));
    for (const isNew of [true, false, false, true])
      expect(admit(gate, visitor(), { isNew })).toEqual({ hidesAuthorization: false });
    expect(admit(gate, visitor())).toEqual({ refused: "ERR_GGROK_VISITOR_RATE_LIMITED", retryAfterS: 1 });
  });
});

describe("rules", () => {
  it("have the same key in any order, and another for anything else", () => {
    const key = (options: unknown): string => rulesOf(options).key;
    const swapped = { ...LOGIN, hashes: LOGIN.hashes.toReversed() };
    expect(key({ basicAuth: swapped, open: ["/b", "/a"] })).toBe(key({ open: ["/a", "/b"], basicAuth: LOGIN }));
    const all = [{}, { open: ["/a"] }, { cidrAllow: ["10.0.0.0/8"] }, { cidrDeny: ["10.0.0.0/8"] }];
    const more = [{ rateLimit: { perSecond: 1, burst: 1 } }, { basicAuth: LOGIN }, { passAuthorization: true }];
    expect(new Set([...all, ...more].map(key)).size).toBe(all.length + more.length);
  });

  it.each([
    { unknownRule: true },
    { basicAuth: { salt: "x", hashes: LOGIN.hashes } },
    { basicAuth: { ...LOGIN, hashes: [] } },
    { cidrAllow: ["300.0.0.0/8"] },
    { rateLimit: { perSecond: 0, burst: 1 } },
    { open: ["hooks"] },
    { open: Array.from({ length: 9 }, () => `/${"a".repeat(500)}`) },
    [],
    "all",
  ])("that are not understood refuse the tunnel: %j", (options) => {
    expect(parseVisitorRules(options)).toMatch(/cannot be used/);
  });
});

describe("withoutAuthorization", () => {
  it("takes the field out however it is written, and nothing else", () => {
    expect(
      withoutAuthorization(["A", "1", "AUTHORIZATION", "x", "authorization", "y", "X-Authorization", "z"]),
    ).toEqual(["A", "1", "X-Authorization", "z"]);
  });
});
