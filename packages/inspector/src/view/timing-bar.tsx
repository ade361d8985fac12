import type { JSX } from "preact";
import type { Timings } from "../core/exchange.ts";
import { formatMs } from "../core/format.ts";
import { stretchesOf } from "../core/timing.ts";

/** Where the time went. */
export function TimingBar({
  timings,
  isOpen,
}: {
  readonly timings: Timings;
  readonly isOpen: boolean;
}): JSX.Element | null {
  const stretches = stretchesOf(timings);
  const total = timings.end_ms;
  if (isOpen || total <= 0 || stretches.length === 0) return null;
  const text = stretches.map(({ label, lengthMs }) => `${label}: ${formatMs(lengthMs)}`);
  return (
    <div class="timing">
      <div class="timing-bar" role="img" aria-label={text.join(", ")}>
        {stretches.map(({ name, lengthMs }) => (
          <span key={name} class={`stretch ${name}`} style={{ flexGrow: lengthMs / total }} />
        ))}
      </div>
      <p class="timing-text" aria-hidden="true">
        {stretches.map(({ name, label, lengthMs }) => (
          <span key={name}>
            <i class={`key ${name}`} /> {label} <b>{formatMs(lengthMs)}</b>
          </span>
        ))}
      </p>
    </div>
  );
}
