import type { JSX } from "preact";
import { useState } from "preact/hooks";

const SMALLEST = 25;
const LARGEST = 75;
const STEP = 2;

/** Divides the room between list and detail; dragged, or moved by the arrow keys. */
export function Splitter(): JSX.Element {
  const [percent, setPercent] = useState(46);
  const move = (wanted: number): void => {
    const next = Math.max(SMALLEST, Math.min(LARGEST, wanted));
    setPercent(next);
    document.documentElement.style.setProperty("--list-share", `${next}%`);
  };
  return (
    // biome-ignore lint/a11y/useSemanticElements: a separator that can be moved is no <hr>
    <div
      class="splitter"
      role="separator"
      tabIndex={0}
      aria-orientation="vertical"
      aria-label="Width of the list"
      aria-valuenow={Math.round(percent)}
      aria-valuemin={SMALLEST}
      aria-valuemax={LARGEST}
      onPointerDown={(event) => event.currentTarget.setPointerCapture(event.pointerId)}
      onPointerMove={(event) => {
        if (event.currentTarget.hasPointerCapture(event.pointerId)) move((event.clientX / innerWidth) * 100);
      }}
      onKeyDown={(event) => {
        if (event.key === "ArrowLeft") move(percent - STEP);
        else if (event.key === "ArrowRight") move(percent + STEP);
      }}
    />
  );
}
