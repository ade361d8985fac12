import type { JSX } from "preact";
import { useMemo, useState } from "preact/hooks";
import { plural } from "../core/format.ts";
import { describeInside, ExactNumber, entriesOf, formatScalar, parseExact } from "../core/json-value.ts";
import { usePage } from "./context.ts";
import { TextView } from "./text-view.tsx";

/** Values inside one other that are drawn at once. */
const ENTRIES_SHOWN = 200;
/** Levels, and values inside, that are open at first. */
const OPEN_DEPTH = 3;
const OPEN_ENTRIES = 50;

/** JSON as a tree that folds. */
export function JsonView({ text }: { readonly text: string }): JSX.Element {
  const page = usePage();
  const parsed = useMemo(() => {
    try {
      return { value: parseExact(text) };
    } catch {
      return undefined;
    }
  }, [text]);
  if (parsed === undefined) return <TextView text={text} language="json" />;
  return (
    <div class="json">
      <button type="button" class="link json-copy" onClick={() => void page.copy(text, "the JSON")}>
        Copy
      </button>
      <ul aria-label="JSON">
        <Node name={undefined} value={parsed.value} depth={0} />
      </ul>
    </div>
  );
}

function Node(o: { readonly name: string | undefined; readonly value: unknown; readonly depth: number }): JSX.Element {
  const entries = useMemo(() => entriesOf(o.value), [o.value]);
  const [isOpen, setOpen] = useState(o.depth < OPEN_DEPTH && (entries?.length ?? 0) <= OPEN_ENTRIES);
  const [limit, setLimit] = useState(ENTRIES_SHOWN);
  const name = o.name === undefined ? null : <span class="json-key">{o.name}: </span>;
  if (entries === undefined || entries.length === 0) {
    return (
      <li>
        {name}
        {entries === undefined ? <Scalar value={o.value} /> : <span>{Array.isArray(o.value) ? "[]" : "{}"}</span>}
      </li>
    );
  }
  return (
    <li>
      <button type="button" class="json-fold" aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
        <span class="fold-mark" aria-hidden="true" />
        {name}
        <span class="quiet">{describeInside(o.value)}</span>
      </button>
      {isOpen && (
        <ul>
          {entries.slice(0, limit).map(({ key, value }) => (
            <Node key={key} name={key} value={value} depth={o.depth + 1} />
          ))}
          {entries.length > limit && (
            <li>
              <button type="button" class="link" onClick={() => setLimit(limit + ENTRIES_SHOWN)}>
                {plural(entries.length - limit, "more value")}
              </button>
            </li>
          )}
        </ul>
      )}
    </li>
  );
}

function Scalar({ value }: { readonly value: unknown }): JSX.Element {
  const type = value === null ? "null" : value instanceof ExactNumber ? "number" : typeof value;
  return <span class={`json-${type}`}>{formatScalar(value)}</span>;
}
