import { encode } from "uqr";

/** A QR code as one SVG path, one unit a module, its quiet zone included. */
export interface QrPath {
  readonly size: number;
  readonly path: string;
}

/** Encodes a URL. */
export function qrPath(text: string): QrPath {
  const { data, size } = encode(text, { ecc: "M", border: 3 });
  let path = "";
  for (const [y, row] of data.entries()) {
    for (const [x, isDark] of row.entries()) if (isDark) path += `M${x} ${y}h1v1h-1z`;
  }
  return { size, path };
}
