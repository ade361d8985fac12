import { Duplex } from "node:stream";
import { expect, it } from "vitest";
import { answerOfClientError, handleClientError } from "./client-error.ts";

function failure(code: string): NodeJS.ErrnoException {
  return Object.assign(new Error(code), { code });
}

class FakeSocket extends Duplex {
  written = "";
  override _read(): void {}
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.written += chunk.toString();
    done();
  }
}

it.each([
  ["HPE_HEADER_OVERFLOW", "ERR_GGROK_REQUEST_HEADERS_TOO_LARGE"],
  ["HPE_INVALID_METHOD", "ERR_GGROK_REQUEST_MALFORMED"],
  ["ERR_HTTP_REQUEST_TIMEOUT", "ERR_GGROK_REQUEST_TIMEOUT"],
  ["ECONNRESET", undefined],
  ["EPIPE", undefined],
])("reads %s as %s", (code, expected) => {
  expect(answerOfClientError(failure(code))?.code).toBe(expected);
});

it("answers a connection once and ends it", async () => {
  const socket = new FakeSocket();
  const answered = handleClientError(failure("HPE_INVALID_TOKEN"), socket, () => "id-1");
  expect(answered).toEqual({ code: "ERR_GGROK_REQUEST_MALFORMED", requestId: "id-1", status: 400 });
  expect(handleClientError(failure("HPE_INVALID_TOKEN"), socket, () => "id-2")).toBeUndefined();
  expect(socket.written).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/u);
  expect(socket.written).not.toContain("id-2");
  expect(socket.writableEnded).toBe(true);
  socket.destroy();
});

it("never writes into another request's answer", () => {
  for (const current of [
    { headersSent: true, req: { complete: false } },
    { headersSent: false, req: { complete: true } },
  ]) {
    const socket = Object.assign(new FakeSocket(), { _httpMessage: current });
    handleClientError(failure("HPE_INVALID_METHOD"), socket, () => "id");
    expect(socket.written).toBe("");
    expect(socket.destroyed).toBe(true);
  }
});

it("answers in place of the request whose own body broke", () => {
  const socket = Object.assign(new FakeSocket(), { _httpMessage: { headersSent: false, req: { complete: false } } });
  expect(handleClientError(failure("HPE_INVALID_CHUNK_SIZE"), socket, () => "id")).toBeUndefined();
  expect(socket.written).toMatch(/^HTTP\/1\.1 400 /u);
  socket.destroy();
});
