import type { VectorFrame } from "./vectors.testing.ts";
import { TYPE_NAMES } from "./vectors.testing.ts";

/**
 * The frame decoder written another way, from the text of protocol.md alone: hex digits and recursion instead of offsets.
 *
 * @returns undefined for a message that breaks the rules
 */
export function decodeNaively(message: Buffer): VectorFrame[] | undefined {
  const hex = message.toString("hex");
  return hex === "" ? undefined : decodeRest(hex);
}

function decodeRest(hex: string): VectorFrame[] | undefined {
  if (hex === "") return [];
  const header = /^(?<length>.{8})(?<stream>.{8})(?<type>..)(?<flags>..)/.exec(hex)?.groups;
  if (header === undefined) return undefined;
  const [length, stream, type, flags] = [header["length"], header["stream"], header["type"], header["flags"]].map(
    (digits) => Number.parseInt(digits ?? "", 16),
  ) as [number, number, number, number];
  const name = TYPE_NAMES[type];
  const payload = hex.slice(20, 20 + length * 2);
  if (name === undefined || flags > 1 || payload.length !== length * 2) return undefined;
  if (length > (name === "DATA" ? 65_536 : 131_072)) return undefined;
  const rest = decodeRest(hex.slice(20 + length * 2));
  return rest === undefined ? undefined : [{ type: name, flags, stream, payload }, ...rest];
}
