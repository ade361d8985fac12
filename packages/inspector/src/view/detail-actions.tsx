import type { JSX } from "preact";
import { useRef } from "preact/hooks";
import type { Exchange } from "../core/exchange.ts";
import type { CopyForm } from "../state/api.ts";
import { saveFrom } from "../state/browser.ts";
import { usePage } from "./context.ts";
import { Icon } from "./icons.tsx";

const COPY_FORMS: readonly { readonly form: CopyForm; readonly label: string }[] = [
  { form: "curl", label: "curl" },
  { form: "fetch", label: "fetch" },
  { form: "httpie", label: "HTTPie" },
];

function whyNotReplayable({ kind, outcome, request: { body } }: Exchange): string {
  if (kind === "websocket" || kind === "upgrade") return "It changed the protocol: it cannot be replayed";
  if (outcome === "open") return "The request's body is not there yet: it can be replayed when it is";
  return `The request's body is not stored${body.stored ? " as it came" : ""}: it cannot be replayed`;
}

/** What can be done with an exchange. */
export function DetailActions({ exchange }: { readonly exchange: Exchange }): JSX.Element {
  const page = usePage();
  const menu = useRef<HTMLDetailsElement>(null);
  const { id, replayable: isReplayable } = exchange;
  const why = isReplayable ? "" : whyNotReplayable(exchange);
  return (
    <div class="actions" role="toolbar" aria-label="Exchange">
      <button
        type="button"
        class="primary"
        disabled={!isReplayable}
        title={why || "Send the request to the app again (r)"}
        onClick={() => void page.replay({ id })}
      >
        <Icon name="replay" /> Replay
      </button>
      <button
        type="button"
        disabled={!isReplayable}
        title={why || "Change the request first (e)"}
        onClick={() => {
          page.dialog.value = { kind: "edit", id };
        }}
      >
        <Icon name="edit" /> Edit
      </button>
      <details
        class="menu"
        ref={menu}
        onFocusOut={(event) => {
          const to = event.relatedTarget;
          if (to instanceof Node && !event.currentTarget.contains(to)) event.currentTarget.open = false;
        }}
      >
        <summary>
          <Icon name="copy" /> Copy as
        </summary>
        <div class="menu-items">
          {COPY_FORMS.map(({ form, label }) => (
            <button
              key={form}
              type="button"
              onClick={() => {
                if (menu.current !== null) menu.current.open = false;
                void page.copyAs(id, form);
              }}
            >
              {label}
            </button>
          ))}
        </div>
      </details>
      <button type="button" title="Save this exchange" onClick={() => saveFrom(page.api.harPath([id]), `${id}.har`)}>
        <Icon name="download" /> HAR
      </button>
      <button type="button" title="Delete this exchange" onClick={() => void page.deleteOne(id)}>
        <Icon name="trash" /> Delete
      </button>
    </div>
  );
}
