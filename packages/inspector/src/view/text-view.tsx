import type { JSX } from "preact";
import { useMemo, useState } from "preact/hooks";
import type { Language } from "../core/body-kind.ts";
import { plural } from "../core/format.ts";
import { highlight } from "../core/highlight.ts";

/** Characters drawn at once; the browser lays out no more without stalling. */
const CHARS_MAX = 1_000_000;

/** Text, coloured where it is known how. */
export function TextView({ text, language }: { readonly text: string; readonly language: Language }): JSX.Element {
  const [limit, setLimit] = useState(CHARS_MAX);
  const shown = text.length > limit ? text.slice(0, limit) : text;
  const tokens = useMemo(() => highlight(shown, language), [shown, language]);
  return (
    <>
      <pre class="text">
        {tokens === undefined
          ? shown
          : tokens.map(({ type, text: piece }, i) => (
              <span key={i} class={`t-${type}`}>
                {piece}
              </span>
            ))}
      </pre>
      {shown.length < text.length && (
        <p class="body-note">
          <button type="button" onClick={() => setLimit(limit + CHARS_MAX)}>
            {plural(text.length - shown.length, "more character")}
          </button>
        </p>
      )}
    </>
  );
}
