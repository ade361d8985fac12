// The fuzz of both ends, ten times as long.
process.env["GGROK_FUZZ_FRAMES"] ??= "1000000";
await import("../conformance/protocol-fuzz.test.ts");

export {};
