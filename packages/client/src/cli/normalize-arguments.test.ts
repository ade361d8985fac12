import { expect, it } from "vitest";
import { normalizeArguments } from "./normalize-arguments.ts";

it("never lets --wait swallow the target", () => {
  expect(normalizeArguments(["http", "--wait", "3000"])).toEqual(["http", "--wait=60s", "3000"]);
  expect(normalizeArguments(["http", "--wait=5s", "3000"])).toEqual(["http", "--wait=5s", "3000"]);
});

it("takes switches with a value as ngrok's agent does", () => {
  expect(normalizeArguments(["--pooling-enabled=true", "--takeover=false", "--json=maybe"])).toEqual([
    "--pooling-enabled",
    "--json=maybe",
  ]);
});

it("leaves what follows -- alone", () => {
  expect(normalizeArguments(["http", "1", "--", "--wait"])).toEqual(["http", "1", "--", "--wait"]);
});
