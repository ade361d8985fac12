// The long form of a fault test: ten thousand POSTs over a link that is cut at random moments, between twenty drains.
process.env["GGROK_SOAK_POSTS"] ??= "10000";
await import("../e2e/faults-drain.test.ts");

export {};
