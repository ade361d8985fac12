import type { Summary } from "./exchange.ts";

const BODY = { size: 0, sha256: "", stored: true, redacted: false, partial: false };

/** A line of the list for tests. */
export function summaryOf(part: Partial<Summary> = {}): Summary {
  return {
    id: "a",
    seq: 1,
    tunnel_name: "web",
    url: "https://a.example",
    remote_addr: "203.0.113.7",
    duration: 1_000_000,
    kind: "http",
    outcome: "complete",
    error: null,
    timings: { received_at: 0, first_byte_to_app_ms: 0.1, first_byte_from_app_ms: 0.9, end_ms: 1 },
    replay_of: null,
    imported: false,
    replayable: true,
    signature: null,
    messages: 0,
    messages_dropped: 0,
    request: { method: "GET", proto: "HTTP/1.1", uri: "/", body: BODY },
    response: { status: "200 OK", status_code: 200, content_type: "text/plain", body: BODY },
    ...part,
  };
}
