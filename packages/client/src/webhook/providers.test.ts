import { createHmac } from "node:crypto";
import { describe, expect, it } from "vitest";
import { parseHook } from "./hooks.ts";
import { type JudgedRequest, WEBHOOK_BODY_BYTES_MAX, WebhookVerifier } from "./verifier.ts";

interface Vector {
  readonly hook: string;
  readonly fields: readonly string[];
  readonly body: string;
  readonly seconds?: number;
  readonly target?: string;
  readonly url?: string;
}

const SLACK_BODY =
  "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
const TWILIO_FORM = "Digits=1234&To=%2B18005551212&From=%2B14158675309&Caller=%2B14158675309&CallSid=CA1234567890ABCDE";
const TWILIO_JSON = '{"property": "value", "boolean": true}';
const FORM = ["Content-Type", "application/x-www-form-urlencoded"];

/** As the documentation of each provider, or the tests of its own library, publish them. */
const PUBLISHED: Readonly<Record<string, Vector>> = {
  // docs.github.com, "Validating webhook deliveries"
  github: {
    hook: "github=file:",
    fields: ["X-Hub-Signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"],
    body: "Hello, World!",
  },
  // docs.slack.dev, "Verifying requests from Slack"
  slack: {
    hook: "slack=8f742231b10e8888abcd99yyyzzz85a5",
    fields: [
      ...FORM,
      "X-Slack-Request-Timestamp",
      "1531420618",
      "X-Slack-Signature",
      "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
    ],
    body: SLACK_BODY,
    seconds: 1_531_420_618,
  },
  // twilio.com/docs/usage/security, "Validating requests are coming from Twilio"
  twilio: {
    hook: "twilio=12345",
    fields: [...FORM, "X-Twilio-Signature", "RSOYDt4T1cUTdK1PDd93/VVr8B8="],
    body: TWILIO_FORM,
    target: "/myapp.php?foo=1&bar=2",
    url: "https://mycompany.com",
  },
  // tests of twilio-node: a body that is no form
  "twilio with JSON": {
    hook: "twilio=12345",
    fields: ["Content-Type", "application/json", "X-Twilio-Signature", "a9nBmqA0ju/hNViExpshrM61xv4="],
    body: TWILIO_JSON,
    target: "/myapp.php?foo=1&bar=2&bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620",
    url: "https://mycompany.com",
  },
  // docs.svix.com, "Verifying webhooks manually"
  svix: {
    hook: "svix=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    fields: [
      "svix-id",
      "msg_p5jXN8AQM9LWM0D4loKWxJek",
      "svix-timestamp",
      "1614265330",
      "svix-signature",
      "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    ],
    body: '{"test": 2432232314}',
    seconds: 1_614_265_330,
  },
  "standard-webhooks": {
    hook: "standard-webhooks=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    fields: [
      "webhook-id",
      "msg_p5jXN8AQM9LWM0D4loKWxJek",
      "webhook-timestamp",
      "1614265330",
      "webhook-signature",
      "v2,xyz v1,AAAA v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    ],
    body: '{"test": 2432232314}',
    seconds: 1_614_265_330,
  },
  // the tests of SQLPage, which verify Shopify's webhooks
  shopify: {
    hook: "shopify=test-webhook-secret",
    fields: ["X-Shopify-Hmac-SHA256", "QNyObTlKbMx2qDlPF/ZOZcBqg5OgPg+2oky3zldc0Gw="],
    body: '{"id":1234567890,"email":"customer@example.com","total_price":"123.45"}',
  },
  // docs.stripe.com, "Verify webhook signatures manually", step by step
  stripe: {
    hook: "stripe=whsec_test",
    fields: [
      "Stripe-Signature",
      `t=1492774577,v1=${createHmac("sha256", "whsec_test").update('1492774577.{"id":"evt_1"}').digest("hex")},v0=6ffbb59b2300aae63f272406069a9788598b792a944a07aba816edb039989a39`,
    ],
    body: '{"id":"evt_1"}',
    seconds: 1_492_774_577,
  },
  "a recipe": {
    hook: "hmac(header=X-Sig,algorithm=sha512,encoding=base64,prefix=v1=,payload={timestamp}/{header:X-Id}/{body},timestamp=X-Time,tolerance=10s)=secret",
    fields: [
      "X-Id",
      "caf\xe9",
      "X-Time",
      "1700000000",
      "X-Sig",
      `v1=${createHmac("sha512", "secret").update(Buffer.from("1700000000/caf\xe9/body", "latin1")).digest("base64")}`,
    ],
    body: "body",
    seconds: 1_700_000_000,
  },
};

function verifierOf(hook: string): WebhookVerifier {
  // GitHub's published secret has spaces, which no flag carries bare.
  const text = hook === "github=file:" ? "github=env:S" : hook;
  return new WebhookVerifier([parseHook(text, { S: "It's a Secret to Everybody" })]);
}

function requestOf(vector: Vector, more: Partial<JudgedRequest> = {}): JudgedRequest {
  const { fields, body, seconds = 1_700_000_000, target = "/hook", url } = vector;
  return {
    target,
    fields: ["Host", "a.example", ...fields],
    body: Buffer.from(body),
    nowMs: seconds * 1_000,
    ...(url !== undefined && { url }),
    ...more,
  };
}

const vectors = Object.entries(PUBLISHED);
const signed = vectors.filter(([, { seconds }]) => seconds !== undefined);

describe("a webhook's signature", () => {
  it.each(vectors)("is valid as published: %s", (name, vector) => {
    expect(verifierOf(vector.hook).judge(requestOf(vector))).toEqual({
      provider: name === "a recipe" ? "hmac" : (name.split(" ")[0] ?? ""),
      verdict: "valid",
      reason: "the signature matches",
    });
  });

  it.each(vectors)("is invalid when one byte of the body is another: %s", (_name, vector) => {
    const body = Buffer.from(vector.body);
    body[0] = (body[0] ?? 0) ^ 1;
    expect(verifierOf(vector.hook).judge(requestOf(vector, { body })).verdict).toBe("invalid");
  });

  it.each(vectors)("is invalid with another secret: %s", (_name, vector) => {
    const other = vector.hook.replace(/=[^=]*$/, "=whsec_AAAAAAAAAAAAAAAAAAAAAAAA");
    expect(verifierOf(other).judge(requestOf(vector)).verdict).toBe("invalid");
  });

  it.each(vectors)("is unknown when there is none: %s", (_name, vector) => {
    const verdict = verifierOf(vector.hook).judge(requestOf(vector, { fields: ["Host", "a"] }));
    expect(verdict).toMatchObject({ verdict: "unknown", reason: expect.stringMatching(/^there is no .* field$/) });
  });

  it.each(signed)("is skewed when it is old: %s", (_name, vector) => {
    const nowMs = ((vector.seconds ?? 0) + 301) * 1_000;
    const verdict = verifierOf(vector.hook).judge(requestOf(vector, { nowMs }));
    expect(verdict).toMatchObject({ verdict: "skew", reason: expect.stringContaining("301 s ago") });
  });

  it.each(signed)(
    "is skewed when it is from the future, except for Stripe, whose library takes it: %s",
    (name, vector) => {
      const nowMs = ((vector.seconds ?? 0) - 301) * 1_000;
      const verdict = verifierOf(vector.hook).judge(requestOf(vector, { nowMs }));
      expect(verdict.verdict).toBe(name === "stripe" ? "valid" : "skew");
    },
  );

  it.each(vectors)("is valid again after signing a changed body anew: %s", (_name, vector) => {
    const isJson = vector.target?.includes("bodySHA256") === true;
    const changed = requestOf(vector, { nowMs: 1_800_000_000_000, ...(!isJson && { body: Buffer.from("other") }) });
    const verifier = verifierOf(vector.hook);
    const fields = verifier.sign(changed);
    expect(verifier.judge({ ...changed, fields }).verdict).toBe("valid");
    const names = (list: readonly string[]): string[] => list.filter((_part, i) => i % 2 === 0);
    expect(names(fields)).toEqual(names(changed.fields));
  });
});

describe("the rules of one provider", () => {
  const judge = (hook: string, vector: Omit<Vector, "hook">): string =>
    verifierOf(hook).judge(requestOf({ hook, ...vector })).verdict;

  it("Stripe: any of several v1 may match, v0 never counts, and what is no signature is invalid", () => {
    const mac = createHmac("sha256", "s").update("1.x").digest("hex");
    const at = { body: "x", seconds: 1 };
    expect(judge("stripe=s", { ...at, fields: ["Stripe-Signature", `t=1, v1=00, v1=${mac.toUpperCase()}`] })).toBe(
      "valid",
    );
    expect(judge("stripe=s", { ...at, fields: ["Stripe-Signature", `t=1,v0=${mac}`] })).toBe("invalid");
    expect(judge("stripe=s", { ...at, fields: ["Stripe-Signature", `v1=${mac}`] })).toBe("invalid");
    expect(judge("stripe=s", { ...at, fields: ["Stripe-Signature", `t=1e0,v1=${mac}`] })).toBe("invalid");
    expect(judge("stripe=s", { ...at, fields: ["Stripe-Signature", ""] })).toBe("invalid");
  });

  it("GitHub: the old signature alone proves nothing", () => {
    const sha1 = createHmac("sha1", "s").update("x").digest("hex");
    expect(judge("github=s", { body: "x", fields: ["X-Hub-Signature", `sha1=${sha1}`] })).toBe("invalid");
  });

  it("GitHub: both are signed anew where both were", () => {
    const request = requestOf({
      hook: "",
      body: "x",
      fields: ["X-Hub-Signature", "sha1=0", "X-Hub-Signature-256", "sha256=0"],
    });
    const sha1 = createHmac("sha1", "s").update("x").digest("hex");
    expect(verifierOf("github=s").sign(request)).toContain(`sha1=${sha1}`);
  });

  it("Slack and Standard Webhooks: without a time there is nothing to check", () => {
    expect(judge("slack=s", { body: "x", fields: ["X-Slack-Signature", "v0=00"] })).toBe("invalid");
    expect(judge("svix=whsec_AAAA", { body: "x", fields: ["svix-signature", "v1,AA=="] })).toBe("invalid");
  });

  it("Twilio: the address with or without its port, and the one the visitor used", () => {
    const sign = (text: string): string => createHmac("sha1", "12345").update(text).digest("base64");
    const fields = (text: string): string[] => [
      ...FORM,
      "X-Twilio-Signature",
      sign(`${text}A1B1B2`),
      "X-Forwarded-Proto",
      "https",
    ];
    const form = { body: "B=2&B=1&A=1&B=2", target: "/x", url: "https://t.example" };
    for (const url of ["https://t.example/x", "https://t.example:443/x", "https://a.example/x"])
      expect(judge("twilio=12345", { ...form, fields: fields(url) })).toBe("valid");
    expect(
      judge("twilio=12345", { ...form, url: "https://t.example:8443", fields: fields("https://t.example/x") }),
    ).toBe("valid");
    expect(judge("twilio=12345", { ...form, fields: fields("https://evil.example/x") })).toBe("invalid");
    expect(
      judge("twilio=12345", { ...form, fields: [...fields("https://t.example/p/x"), "X-Forwarded-Prefix", "/p"] }),
    ).toBe("valid");
  });

  it("a recipe reads times in milliseconds and as a date, and writes what was there", () => {
    const hook = "hmac(header=S,timestamp=T)=k";
    for (const time of ["1700000000123", "2023-11-14T22:13:20Z"]) {
      const mac = createHmac("sha256", "k").update(`${time}.x`).digest("hex");
      expect(judge(hook, { body: "x", fields: ["T", time, "S", mac] })).toBe("valid");
    }
    const request = requestOf({ hook, body: "x", fields: ["T", "1700000000123", "S", "0"] });
    expect(verifierOf(hook).sign(request)).toContain("1700000000000");
  });
});

describe("several secrets", () => {
  const mac = (secret: string): string => createHmac("sha256", secret).update("x").digest("hex");

  it("are tried until one fits", () => {
    const verifier = new WebhookVerifier(["github=old", "github=new", "stripe=s"].map((text) => parseHook(text, {})));
    const request = (fields: readonly string[]): JudgedRequest => requestOf({ hook: "", body: "x", fields });
    expect(verifier.judge(request(["X-Hub-Signature-256", `sha256=${mac("new")}`]))).toMatchObject({
      provider: "github",
      verdict: "valid",
    });
    expect(verifier.judge(request(["X-Hub-Signature-256", `sha256=${mac("no")}`])).verdict).toBe("invalid");
    expect(verifier.judge(request([])).verdict).toBe("unknown");
  });

  it("sign with the provider that signed before", () => {
    const verifier = new WebhookVerifier(["stripe=s", "github=g"].map((text) => parseHook(text, {})));
    const request = requestOf({ hook: "", body: "x", fields: ["x-hub-signature-256", "old"] });
    expect(verifier.sign(request)).toEqual(["Host", "a.example", "x-hub-signature-256", `sha256=${mac("g")}`]);
    expect(verifier.sign({ ...request, fields: [] })[0]).toBe("Stripe-Signature");
  });

  it("do not check what is larger than a webhook", () => {
    const body = Buffer.alloc(WEBHOOK_BODY_BYTES_MAX + 1);
    const verdict = verifierOf("github=s").judge({ target: "/", fields: ["X-Hub-Signature-256", "x"], body, nowMs: 0 });
    expect(verdict).toMatchObject({ verdict: "unknown", reason: expect.stringContaining(String(body.length)) });
  });
});

describe("--verify-webhook", () => {
  it.each([
    ["paypal=x", /no provider/],
    ["constructor=x", /no provider/],
    ["stripe", /needs its secret/],
    ["stripe=", /empty/],
    ["stripe=env:NOPE", /NOPE is not set/],
    ["svix=whsec_%%%", /base64/],
    ["hmac()=x", /no part/],
    ["hmac(header=a b)=x", /header=NAME/],
    ["hmac(header=a,payload=x)=x", /no \{body\}/],
    ["hmac(header=a,payload={body}{when})=x", /\{when\}/],
    ["hmac(header=a,payload={timestamp}{body})=x", /timestamp=NAME/],
    ["hmac(header=a,timestamp=t,payload={body})=x", /no \{timestamp\}/],
    ["hmac(header=a,algorithm=md5)=x", /sha1, sha256/],
    ["hmac(header=a,encoding=rot13)=x", /hex, base64/],
    ["hmac(header=a,tolerance=5,timestamp=t)=x", /duration/],
    ["hmac(header=a,colour=red)=x", /no part/],
  ])("says what is wrong with %s", (text, message) => {
    expect(() => parseHook(text, {})).toThrow(message);
  });

  it("keeps a secret out of everything that is printed", () => {
    const hook = parseHook("stripe=hush-hush", {});
    expect(JSON.stringify(hook) + String(hook) + JSON.stringify(new WebhookVerifier([hook]))).not.toContain("hush");
  });
});
