import { randomBytes } from "node:crypto";

/** An id for an exchange that no relay has named. It begins with no hyphen: a command line would take it for an option. */
export function newExchangeId(): string {
  return randomBytes(12).toString("hex");
}
