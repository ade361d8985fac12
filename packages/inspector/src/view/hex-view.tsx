import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import { countHexLines, hexLine } from "../core/hex.ts";
import { VirtualList } from "./virtual-list.tsx";

/** Pixels; the style sheet has the same. */
const LINE_HEIGHT = 20;
const LINES_SHOWN = 24;

/** Bytes as they are. */
export function HexView({ bytes }: { readonly bytes: Uint8Array }): JSX.Element {
  const ids = useMemo(() => Array.from({ length: countHexLines(bytes) }, (_, line) => String(line)), [bytes]);
  const height = Math.min(ids.length, LINES_SHOWN) * LINE_HEIGHT;
  return (
    <div class="hex" style={{ height: `${height + 2}px` }}>
      <VirtualList
        ids={ids}
        rowHeight={LINE_HEIGHT}
        attributes={{ role: "group", "aria-label": "Bytes", tabIndex: 0 }}
        row={(index) => {
          const { offset, hex, text } = hexLine(bytes, index);
          return (
            <div class="hex-line">
              <span class="quiet">{offset}</span>
              <span class="hex-bytes">{hex}</span>
              <span class="hex-text">{text}</span>
            </div>
          );
        }}
      />
    </div>
  );
}
