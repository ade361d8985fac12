import { randomBytes } from "node:crypto";

/** As unlikely to be met twice as a UUID. */
const ID_BYTES = 16;

/** Id of a new session. Not from nanoid: its ids are cut out of strings of 32 KiB, and a session would hold all of one. */
export function makeSessionId(): string {
  return randomBytes(ID_BYTES).toString("base64url");
}
