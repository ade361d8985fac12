import type { Timings } from "./exchange.ts";

/** One stretch of an exchange. */
export interface Stretch {
  readonly name: "agent" | "app" | "answer";
  readonly label: string;
  readonly startMs: number;
  readonly lengthMs: number;
}

/** Where the time of an exchange went; what is not known has no stretch of its own. */
export function stretchesOf(timings: Timings): Stretch[] {
  const { end_ms: end, first_byte_to_app_ms: toApp, first_byte_from_app_ms: fromApp } = timings;
  const handedOver = Math.min(toApp ?? fromApp ?? end, end);
  const answered = fromApp === null ? undefined : Math.min(Math.max(fromApp, handedOver), end);
  const stretches: Stretch[] = [
    { name: "agent", label: "Until the app had it", startMs: 0, lengthMs: handedOver },
    {
      name: "app",
      label: answered === undefined ? "No answer" : "Until the app answered",
      startMs: handedOver,
      lengthMs: (answered ?? end) - handedOver,
    },
    { name: "answer", label: "Answer", startMs: answered ?? end, lengthMs: end - (answered ?? end) },
  ];
  return stretches.filter(({ lengthMs }) => lengthMs > 0);
}
