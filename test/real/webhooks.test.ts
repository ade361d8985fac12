import { createHmac } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { Webhooks } from "@octokit/webhooks";
import Stripe from "stripe";
import { Webhook } from "svix";
import { expect, it } from "vitest";
import { ask } from "../harness/visitors.ts";
import { RealWorld } from "./real-world.ts";

// Odd on purpose: key order, spaces, escapes, bytes above 0x7F, a line separator, no final newline, CR LF.
const BODY = '{ "z":1,\r\n "a" :  "caf\u00e9 \u2028 \\u00e9 \ud83d\ude80" ,"n":1.0,"b":[ ] }\t ';

/** The app checks over the raw bytes, as every provider's documentation asks. */
async function receive(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}

async function deliver(
  headers: Record<string, string>,
  verify: (body: string, headers: IncomingMessage["headers"]) => Promise<boolean> | boolean,
): Promise<{ good: number; tampered: number }> {
  await using world = await RealWorld.forwarding((request, response) => {
    void receive(request).then(async (body) => {
      let isValid = false;
      try {
        isValid = await verify(body, request.headers);
      } catch {
        isValid = false;
      }
      response.writeHead(isValid ? 204 : 401).end();
    });
  });
  const post = async (body: string): Promise<number> =>
    (await ask(world.door, "/", { method: "POST", body, headers })).status;
  return { good: await post(BODY), tampered: await post(`${BODY} `) };
}

it.each(["stripe", "github", "svix"])("delivers what %s signed so that its own SDK accepts it", async (provider) => {
  const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
  if (provider === "stripe") {
    const stripe = new Stripe("sk_test_unused");
    const header = stripe.webhooks.generateTestHeaderString({ payload: BODY, secret });
    const result = await deliver({ "stripe-signature": header }, (body, headers) => {
      stripe.webhooks.signature?.verifyHeader(body, String(headers["stripe-signature"]), secret);
      return true;
    });
    expect(result).toEqual({ good: 204, tampered: 401 });
  } else if (provider === "github") {
    const webhooks = new Webhooks({ secret });
    const signature = `sha256=${createHmac("sha256", secret).update(BODY).digest("hex")}`;
    const result = await deliver({ "x-hub-signature-256": signature }, (body, headers) =>
      webhooks.verify(body, String(headers["x-hub-signature-256"])),
    );
    expect(result).toEqual({ good: 204, tampered: 401 });
  } else {
    const webhook = new Webhook(secret);
    const at = new Date();
    const headers = {
      "svix-id": "msg_1",
      "svix-timestamp": String(Math.floor(at.getTime() / 1000)),
      "svix-signature": webhook.sign("msg_1", at, BODY),
    };
    const result = await deliver(headers, (body, received) => {
      webhook.verify(body, received as Record<string, string>);
      return true;
    });
    expect(result).toEqual({ good: 204, tampered: 401 });
  }
});
