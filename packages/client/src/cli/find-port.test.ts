import { expect, it } from "vitest";
import { findPort } from "./find-port.ts";

it.each([
  [
    "  \u001b[32m➜\u001b[39m  \u001b[1mLocal\u001b[22m:   \u001b[36mhttp://localhost:\u001b[1m5173\u001b[22m/\u001b[39m",
    5173,
  ],
  ["   - Local:         http://localhost:3000", 3000],
  ["<i> [webpack-dev-server] Loopback: http://localhost:8080/, http://[::1]:8080/", 8080],
  ["➜  Local:   http://localhost:4200/", 4200],
  ["* Listening on http://127.0.0.1:3001", 3001],
  ["Starting development server at http://127.0.0.1:8000/", 8000],
  [" * Running on http://[::]:5000", 5000],
  ["INFO:     Uvicorn running on http://0.0.0.0:8001 (Press CTRL+C to quit)", 8001],
  ["Server listening on port 3002", 3002],
  ["listening on :3003", 3003],
  ["Listening on port: 3004", 3004],
  ["App available at https://localhost/", 443],
])("finds the port in %j", (line, port) => {
  expect(findPort(line)).toBe(port);
});

it.each([
  ["VITE v8.3.8  ready in 5173 ms"],
  ["  ➜  Network: use --host to expose"],
  ["see https://vite.dev:8443/guide"],
  ["http://localhost.example.com:80/"],
  ["compiled successfully in 812 ms"],
  ["started 12 workers"],
  ["port 99999"],
  [""],
])("finds none in %j", (line) => {
  expect(findPort(line)).toBeUndefined();
});
