/** Bytes of one line of a hex view. */
const HEX_LINE_BYTES = 16;

/** One line of a hex view. */
export interface HexLine {
  readonly offset: string;
  readonly hex: string;
  readonly text: string;
}

/** How many lines there are. */
export function countHexLines(bytes: Uint8Array): number {
  return Math.ceil(bytes.length / HEX_LINE_BYTES);
}

/** One line, from 0. */
export function hexLine(bytes: Uint8Array, line: number): HexLine {
  const from = line * HEX_LINE_BYTES;
  const row = bytes.subarray(from, from + HEX_LINE_BYTES);
  const pairs = Array.from(row, (byte) => byte.toString(16).padStart(2, "0"));
  return {
    offset: from.toString(16).padStart(8, "0"),
    hex: `${pairs.slice(0, 8).join(" ")}  ${pairs.slice(8).join(" ")}`.trimEnd(),
    text: Array.from(row, (byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : "·")).join(""),
  };
}
