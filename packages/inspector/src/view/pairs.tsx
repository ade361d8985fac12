import type { ComponentChildren, JSX } from "preact";
import { useState } from "preact/hooks";

/** Names with their values, in order. */
export function Pairs(o: {
  readonly rows: readonly { readonly name: string; readonly value: ComponentChildren }[];
  readonly label: string;
}): JSX.Element {
  return (
    <table class="pairs" aria-label={o.label}>
      <tbody>
        {o.rows.map(({ name, value }, i) => (
          <tr key={i}>
            <th scope="row">{name}</th>
            <td>{value}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** A value that is shown when it is clicked, and hidden when it is clicked again. */
export function Secret(o: { readonly name: string; readonly value: string; readonly masked: string }): JSX.Element {
  const [isShown, setShown] = useState(false);
  return (
    <>
      {isShown && `${o.value} `}
      <button
        type="button"
        class="secret"
        aria-label={`${isShown ? "Hide" : "Show"} ${o.name}`}
        title={isShown ? "Hide" : "Show"}
        onClick={() => setShown(!isShown)}
      >
        {isShown ? "hide" : o.masked}
      </button>
    </>
  );
}
