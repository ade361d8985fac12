import type { ComponentChildren, JSX } from "preact";

/** A part with a title that folds. */
export function Section(o: {
  readonly title: string;
  readonly count?: number;
  readonly children: ComponentChildren;
}): JSX.Element {
  return (
    <details class="section" open>
      <summary>
        {o.title}
        {o.count !== undefined && <span class="count">{o.count}</span>}
      </summary>
      {o.children}
    </details>
  );
}
