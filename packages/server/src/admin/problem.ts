import { ERRORS, type ErrorCode } from "@ggrok/protocol";
import type { FastifyReply } from "fastify";
import { z } from "zod";

/** How the relay's own paths say that something is wrong. */
export const problemView = z.looseObject({
  code: z.string().describe("docs/errors.md"),
  message: z.string(),
  nextStep: z.string(),
});

/** Thrown by a route that has no answer but an error of the table. */
export class Problem extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string = ERRORS[code].message) {
    super(message);
    this.code = code;
  }
}

/** Answers with an error of the table; `more` can replace its words. */
export function sendProblem(reply: FastifyReply, code: ErrorCode, more: Record<string, unknown> = {}): FastifyReply {
  const { status, message, nextStep } = ERRORS[code];
  return reply
    .code(status)
    .header("ggrok-error", code)
    .send({ code, message, nextStep, ...more });
}
