import { GgrokError } from "../errors.ts";

/**
 * Parses JSON from the wire; nothing else does. Frames are bounded before, and the schemas look no deeper than their own
 * shape, so a tower of brackets costs what its bytes cost.
 *
 * @param start offset of the JSON, which goes to the end
 * @throws GgrokError ERR_GGROK_PROTOCOL_VIOLATION
 */
export function parseWireJson(payload: Buffer, start = 0): unknown {
  try {
    return JSON.parse(payload.toString("utf8", start));
  } catch (error) {
    throw new GgrokError("ERR_GGROK_PROTOCOL_VIOLATION", { message: "malformed JSON", cause: error });
  }
}
