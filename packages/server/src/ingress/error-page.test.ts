import { ERRORS } from "@ggrok/protocol";
import { describe, expect, it } from "vitest";
import { errorAnswerBytes, makeErrorAnswer, preferredFormat } from "./error-page.ts";

describe("preferredFormat", () => {
  it.each([
    [undefined, "text"],
    ["*/*", "text"],
    ["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "html"],
    ["application/json", "json"],
    ["application/problem+json, text/html;q=0.5", "json"],
    ["text/html;q=0.2, application/json;q=0.9", "json"],
    ["text/html;q=0", "text"],
    ["text/plain, text/html;q=0.9", "text"],
    ["image/avif", "text"],
    [";;;,", "text"],
  ])("reads %s as %s", (accept, format) => {
    expect(preferredFormat(accept)).toBe(format);
  });
});

describe("makeErrorAnswer", () => {
  it("says code, id and the next step in every form", () => {
    for (const accept of ["text/html", "application/json", undefined]) {
      const answer = makeErrorAnswer("ERR_GGROK_ENDPOINT_OFFLINE", accept, { requestId: "id-1", retryAfterS: 5 });
      expect(answer.status).toBe(503);
      const body = answer.body.toString();
      expect(body).toContain("ERR_GGROK_ENDPOINT_OFFLINE");
      expect(body).toContain("id-1");
      const fields = new Map(
        answer.fields.flatMap((name, i) => (i % 2 === 0 ? [[name.toLowerCase(), answer.fields[i + 1]]] : [])),
      );
      expect(fields.get("ggrok-error")).toBe("ERR_GGROK_ENDPOINT_OFFLINE");
      expect(fields.get("x-request-id")).toBe("id-1");
      expect(fields.get("cache-control")).toBe("no-store");
      expect(fields.get("retry-after")).toBe("5");
      expect(fields.get("content-length")).toBe(String(answer.body.length));
    }
  });

  it("is valid JSON for programs", () => {
    const answer = makeErrorAnswer("ERR_GGROK_UPSTREAM_REFUSED", "application/json", { requestId: "id-1" });
    expect(JSON.parse(answer.body.toString())).toMatchObject({
      error: {
        code: "ERR_GGROK_UPSTREAM_REFUSED",
        message: ERRORS.ERR_GGROK_UPSTREAM_REFUSED.message,
        requestId: "id-1",
      },
    });
  });

  it("escapes what comes from outside", () => {
    const answer = makeErrorAnswer("ERR_GGROK_ENDPOINT_UNKNOWN", "text/html", {
      requestId: "i",
      detail: `<script>alert("1")</script>`,
    });
    const page = answer.body.toString();
    expect(page).not.toContain("<script");
    expect(page).toContain("&lt;script&gt;");
  });
});

it("writes a whole message for a bare socket", () => {
  const text = errorAnswerBytes("ERR_GGROK_CONNECT_REFUSED", undefined, { requestId: "i" }).toString();
  const [head = "", body = ""] = text.split("\r\n\r\n");
  expect(head).toMatch(/^HTTP\/1\.1 4\d\d [A-Za-z ]+\r\n/u);
  expect(head).toContain("\r\nConnection: close");
  expect(head).toContain(`\r\nContent-Length: ${Buffer.byteLength(body)}`);
});
