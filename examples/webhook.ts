// A GitHub webhook. The signature covers the raw bytes, and those arrive as they were sent.
import { createHmac, timingSafeEqual } from "node:crypto";
import { serve } from "ggrok";

const secret = process.env["WEBHOOK_SECRET"] ?? "change me";

const tunnel = await serve(async (request: Request) => {
  const body = Buffer.from(await request.arrayBuffer());
  const expected = Buffer.from(`sha256=${createHmac("sha256", secret).update(body).digest("hex")}`);
  const given = Buffer.from(request.headers.get("x-hub-signature-256") ?? "");
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) {
    return new Response("bad signature\n", { status: 401 });
  }
  console.error(`${request.headers.get("x-github-event")}: ${body.length} bytes`);
  return new Response(null, { status: 204 });
});
console.log(tunnel.url());
process.once("SIGINT", () => tunnel.close());
