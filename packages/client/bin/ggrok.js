#!/usr/bin/env -S node --max-semi-space-size=4 --no-incremental-marking --initial-old-space-size=32
// A small young generation: buffers die at once, and outside memory is given back sooner (ADR 8).
// Plain old JavaScript on purpose: it has to run on the Node that is too old in order to say so.
const [major, minor] = process.versions.node.split(".").map(Number);
if (major < 22 || (major === 22 && minor < 19)) {
  console.error(`ggrok needs Node 22.19 or newer; this is ${process.versions.node}. Get it from https://nodejs.org`);
  process.exitCode = 1;
} else {
  const { enableCompileCache } = await import("node:module");
  enableCompileCache();
  const { run } = await import("../dist/ggrok.js");
  await run();
}
