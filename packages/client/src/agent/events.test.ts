import { expect, it, vi } from "vitest";
import { type AgentEvent, EventHub } from "./events.ts";

const REQUEST = { id: "r", method: "GET", path: "/", status: 200, durationMs: 1, bytesIn: 0, bytesOut: 0 };

it("gives listeners the fields and taps the whole event, its name first", () => {
  const hub = new EventHub();
  const seen: AgentEvent[] = [];
  const urls: string[] = [];
  hub.tap((event) => seen.push(event));
  const stop = hub.on("inspector.online", ({ url }) => urls.push(url));
  hub.emit("inspector.online", { url: "a" });
  stop();
  hub.emit("inspector.online", { url: "b" });
  expect(urls).toEqual(["a"]);
  expect(seen.map((event) => JSON.stringify(event))).toEqual([
    '{"event":"inspector.online","url":"a"}',
    '{"event":"inspector.online","url":"b"}',
  ]);
});

it("knows whether requests are worth telling", () => {
  const hub = new EventHub();
  const deaf = vi.fn();
  hub.tap(deaf, { requests: false });
  expect(hub.hearsRequests).toBe(false);
  hub.emit("request", REQUEST);
  expect(deaf).not.toHaveBeenCalled();
  const stop = hub.on("request", () => {});
  expect(hub.hearsRequests).toBe(true);
  stop();
  expect(hub.hearsRequests).toBe(false);
  hub.tap(() => {});
  expect(hub.hearsRequests).toBe(true);
});

it("goes on after a listener that throws, whose mistake reaches the program", async () => {
  const hub = new EventHub();
  const heard = vi.fn();
  const reported = vi.spyOn(globalThis, "queueMicrotask").mockImplementation(() => {});
  hub.on("request", () => {
    throw new Error("mistake");
  });
  hub.on("request", heard);
  hub.emit("request", REQUEST);
  expect(heard).toHaveBeenCalledTimes(1);
  expect(reported.mock.calls.map(([task]) => task)).toHaveLength(1);
  expect(reported.mock.calls[0]?.[0]).toThrow("mistake");
  reported.mockRestore();
});
