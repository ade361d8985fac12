import { createHmac } from "node:crypto";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createRelay } from "@ggrok/server";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RawClient } from "../harness/raw-client.ts";
import { RawOrigin } from "../harness/raw-origin.ts";
import { Place } from "./cli-world.ts";
import { InspectorWorld } from "./inspector-world.ts";

const SECRET = "whsec_e2e-stripe";

function stripeField(body: string | Buffer, o: { secret?: string; ageS?: number } = {}): string {
  const time = Math.floor(Date.now() / 1_000) - (o.ageS ?? 0);
  const mac = createHmac("sha256", o.secret ?? SECRET)
    .update(`${time}.`)
    .update(body)
    .digest("hex");
  return `Stripe-Signature: t=${time},v1=${mac}`;
}

function lengthOf(body: string | Buffer): string {
  return `Content-Length: ${Buffer.byteLength(body)}`;
}

describe("webhooks that must be signed", () => {
  let world: InspectorWorld;
  beforeAll(async () => {
    world = await InspectorWorld.start(["--verify-webhook", `stripe=${SECRET}`]);
  });
  afterAll(() => world[Symbol.asyncDispose]());

  const BODY = '{"id":"evt_1"}';

  async function refused(path: string, fields: readonly string[], body: string | Buffer): Promise<void> {
    const before = world.origin.requests.length;
    const answer = await world.ask(world.bytes(`POST ${path} HTTP/1.1`, fields, body));
    expect(answer.status).toBe(401);
    expect(answer.fields.find(([name]) => name.toLowerCase() === "ggrok-error")?.[1]).toBe(
      "ERR_GGROK_VISITOR_SIGNATURE_INVALID",
    );
    expect(world.origin.requests.length).toBe(before);
    const recorded = await world.exchange(`path=${path}`);
    expect(recorded).toMatchObject({ outcome: "failed", error: "ERR_GGROK_VISITOR_SIGNATURE_INVALID" });
  }

  async function accepted(path: string, fields: readonly string[], body: string | Buffer): Promise<void> {
    const before = world.origin.requests.length;
    const answer = await world.ask(world.bytes(`POST ${path} HTTP/1.1`, fields, body));
    expect(answer.status).toBe(200);
    const request = await world.origin.request(before);
    expect(request.bytes.equals(Buffer.from(body))).toBe(true);
    expect((await world.exchange(`path=${path}`)).signature).toMatchObject({ provider: "stripe", verdict: "valid" });
  }

  it("reach the app when they are", () => accepted("/good", [lengthOf(BODY), stripeField(BODY)], BODY));

  it("do not reach it when the signature is wrong, and the next good one does", async () => {
    await refused("/bad", [lengthOf(BODY), stripeField(BODY, { secret: "other" })], BODY);
    expect((await world.exchange("path=/bad")).signature).toMatchObject({ verdict: "invalid" });
    await accepted("/next", [lengthOf(BODY), stripeField(BODY)], BODY);
  });

  it("do not reach it when they are old, or not signed at all", async () => {
    await refused("/old", [lengthOf(BODY), stripeField(BODY, { ageS: 600 })], BODY);
    expect((await world.exchange("path=/old")).signature).toMatchObject({ verdict: "skew" });
    await refused("/unsigned", [lengthOf(BODY)], BODY);
    expect((await world.exchange("path=/unsigned")).signature).toMatchObject({ verdict: "unknown" });
  });

  it("are taken whole before they are judged: a changed last byte of a large body", async () => {
    const body = Buffer.alloc(2_000_000, "x");
    await accepted("/large", [lengthOf(body), stripeField(body)], body);
    const field = stripeField(body);
    body[body.length - 1] = 0x79;
    await refused("/large-bad", [lengthOf(body), field], body);
    expect((await world.exchange("path=/large-bad")).signature).toMatchObject({ verdict: "invalid" });
  });

  it("are judged in chunks too, and their trailers go on", async () => {
    const before = world.origin.requests.length;
    const chunked = '7\r\n{"id":"\r\n7\r\nevt_1"}\r\n0\r\nX-Sum: 1\r\n\r\n';
    const fields = ["Transfer-Encoding: chunked", "Trailer: X-Sum", stripeField(BODY)];
    expect((await world.ask(world.bytes("POST /chunks HTTP/1.1", fields, chunked))).status).toBe(200);
    const request = await world.origin.request(before);
    expect(request.bytes.toString()).toBe(BODY);
    expect(request.trailers).toEqual([["X-Sum", "1"]]);
  });

  it("have no body: the signature of nothing", () => accepted("/empty", ["Content-Length: 0", stripeField("")], ""));

  it("are refused above 10 MiB, announced or not, and the next one works", async () => {
    const before = world.origin.requests.length;
    const announced = await world.ask(
      world.bytes("POST /huge HTTP/1.1", ["Content-Length: 10485761", stripeField("")]),
    );
    expect(announced.status).toBe(413);
    await using visitor = await RawClient.connect(world.relay.port, {
      first: world.bytes("POST /huge2 HTTP/1.1", ["Transfer-Encoding: chunked", stripeField("")]),
    });
    const chunk = Buffer.concat([Buffer.from("100000\r\n"), Buffer.alloc(1_048_576, "x"), Buffer.from("\r\n")]);
    for (let i = 0; i < 11; i++) {
      if (!visitor.socket.destroyed && !visitor.socket.write(chunk))
        await Promise.race([once(visitor.socket, "drain"), once(visitor.socket, "close")]);
    }
    const answer = await visitor.answer("POST");
    expect(answer?.status).toBe(413);
    const names = answer?.fields.map(([name, value]) => `${name.toLowerCase()}: ${value}`);
    expect(names).toContain("ggrok-error: ERR_GGROK_REQUEST_BODY_TOO_LARGE");
    expect(world.origin.requests.length).toBe(before);
    await accepted("/after-huge", [lengthOf(BODY), stripeField(BODY)], BODY);
  });

  it("are asked for by the agent when the sender waits for it", async () => {
    const before = world.origin.requests.length;
    const fields = ["Expect: 100-continue", lengthOf(BODY), stripeField(BODY)];
    await using visitor = await RawClient.connect(world.relay.port, {
      first: world.bytes("POST /expect HTTP/1.1", fields),
    });
    expect((await visitor.head())?.startLine).toMatch(/^HTTP\/1\.1 100 /);
    visitor.send(BODY);
    expect((await visitor.answer("POST"))?.status).toBe(200);
    expect((await world.origin.request(before)).bytes.toString()).toBe(BODY);
  });

  it("let a sender leave in the middle", async () => {
    const fields = ["Expect: 100-continue", "Content-Length: 100", stripeField("")];
    const visitor = await RawClient.connect(world.relay.port, { first: world.bytes("POST /left HTTP/1.1", fields) });
    // Now the agent has it.
    expect((await visitor.head())?.startLine).toMatch(/ 100 /);
    visitor.send("half");
    visitor.reset();
    const recorded = await world.exchange("path=/left");
    expect(recorded).toMatchObject({ outcome: "visitor-left", request: { body: { partial: true } } });
    await accepted("/after-left", [lengthOf(BODY), stripeField(BODY)], BODY);
  });

  it("can be sent again: the old signature is skewed but the app gets it; signed anew it is valid", async () => {
    await refused("/again", [lengthOf(BODY), stripeField(BODY, { ageS: 600 })], BODY);
    const { id } = await world.exchange("path=/again");
    const before = world.origin.requests.length;
    expect((await world.replay({ id })).json.replays[0].status_code).toBe(200);
    expect((await world.exchange("path=/again")).signature.verdict).toBe("skew");
    const order = { id, edit: { json: { id: "evt_2" } }, resign: true };
    expect((await world.replay(order)).json.replays[0].status_code).toBe(200);
    const again = await world.exchange("path=/again");
    expect(again).toMatchObject({ replay_of: id, signature: { verdict: "valid" } });
    expect((await world.origin.request(before + 1)).bytes.toString()).toBe('{"id":"evt_2"}');
  });

  it("leave the secret in the agent", async () => {
    const shown = await Promise.all(
      ["/api/status", "/api/tunnels", "/api/requests/http", "/api/requests/har"].map((p) => world.api(p)),
    );
    const seen = shown.map(({ text }) => text).join("") + world.agent.stdout + world.agent.stderr;
    expect(seen).not.toContain(SECRET);
  });

  it("are said to be refused on the agent's own output", async () => {
    const requests = world.agent.events("request").filter((event) => event["path"] === "/bad");
    expect(requests).toEqual([expect.objectContaining({ method: "POST", bytesIn: BODY.length, bytesOut: 0 })]);
    expect(requests[0]).not.toHaveProperty("status");
  });
});

describe("webhooks whose signature is only reported", () => {
  it("all reach the app, with their verdict, large ones too", async () => {
    await using world = await InspectorWorld.start([
      "--verify-webhook",
      "github=s3cret",
      "--verify-webhook-mode",
      "report",
    ]);
    const body = Buffer.alloc(1_000_000, "y");
    const sign = (secret: string): string =>
      `X-Hub-Signature-256: sha256=${createHmac("sha256", secret).update(body).digest("hex")}`;
    for (const [path, field, verdict] of [
      ["/valid", sign("s3cret"), "valid"],
      ["/invalid", sign("other"), "invalid"],
      ["/none", "X-Other: 1", "unknown"],
    ] as const) {
      const recorded = await world.record(
        world.bytes(`POST ${path} HTTP/1.1`, [lengthOf(body), field], body),
        `path=${path}`,
      );
      expect(recorded.signature).toMatchObject({ provider: "github", verdict });
      expect(recorded.response.status_code).toBe(200);
    }
  });
});

describe("webhooks of a configuration file", () => {
  it("must be signed where the file says so, and the app gets the others' requests", async () => {
    await using relay = await createRelay({ bind: "127.0.0.1", domain: "localhost" });
    await using place = new Place({ HOOK_SECRET: SECRET });
    await using app = await RawOrigin.start();
    const upstream = `upstream: { url: ${app.port} }`;
    const file = join(place.cwd, "tunnels.yml");
    writeFileSync(
      file,
      `endpoints:
  - { name: hooks, url: hooks, ${upstream}, verify_webhook: ["stripe=env:HOOK_SECRET"] }
  - { name: site, url: site, ${upstream} }
`,
    );
    const args = ["--config", file, "--relay", `http://localhost:${relay.port}`, "--web-addr", "127.0.0.1:0"];
    await using agent = place.ggrok(["start", "--all", "--json", ...args]);
    await agent.event("tunnel.online", 2);
    const post = async (host: string, field: string): Promise<number | undefined> => {
      const head = `POST / HTTP/1.1\r\nHost: ${host}.localhost:${relay.port}\r\nContent-Length: 1\r\n${field}\r\n\r\nx`;
      await using visitor = await RawClient.connect(relay.port, { first: head });
      return (await visitor.answer("POST"))?.status;
    };
    expect(await post("hooks", "X-A: 1")).toBe(401);
    expect(await post("hooks", stripeField("x"))).toBe(200);
    expect(await post("site", "X-A: 1")).toBe(200);
    expect(app.requests).toHaveLength(2);
  });
});

describe("what is asked for wrongly", () => {
  it.each([
    [["--verify-webhook", "paypal=x"], "no provider"],
    [["--verify-webhook", "stripe=env:NOPE_NOT_SET"], "NOPE_NOT_SET is not set"],
    [["--verify-webhook-mode", "report"], "needs --verify-webhook"],
    [["--verify-webhook", "stripe=x", "--verify-webhook-mode", "maybe"], "enforce, report"],
  ])("ends with exit code 2: %j", async (args, message) => {
    await using place = new Place();
    await using agent = place.ggrok(["http", "3000", ...args]);
    expect(await agent.exited).toBe(2);
    expect(agent.stderr).toContain(message);
  });
});
