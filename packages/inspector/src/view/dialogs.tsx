import type { ComponentChildren, JSX } from "preact";
import { useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { plural } from "../core/format.ts";
import { KEYS } from "../core/keys.ts";
import { qrPath } from "../core/qr.ts";
import { usePage } from "./context.ts";
import { IconButton } from "./icons.tsx";
import { ReplayEditor } from "./replay-editor.tsx";

/** Whatever lies over the page. */
export function Dialogs(): JSX.Element | null {
  const page = usePage();
  const dialog = page.dialog.value;
  switch (dialog?.kind) {
    case undefined:
      return null;
    case "help":
      return (
        <Modal title="Keys">
          <KeyTable />
        </Modal>
      );
    case "qr":
      return (
        <Modal title="QR code">
          <Qr url={dialog.url} />
        </Modal>
      );
    case "clear":
      return (
        <Modal title="Delete the history">
          <Clear />
        </Modal>
      );
    case "edit":
      return (
        <Modal title="Edit and replay" isWide>
          <ReplayEditor id={dialog.id} />
        </Modal>
      );
  }
}

function Modal(o: {
  readonly title: string;
  readonly isWide?: boolean;
  readonly children: ComponentChildren;
}): JSX.Element {
  const page = usePage();
  const box = useRef<HTMLDialogElement>(null);
  // Before it is drawn: the next key is the dialog's.
  useLayoutEffect(() => {
    const before = document.activeElement;
    box.current?.showModal();
    // Not the closing button, which comes first.
    (box.current?.querySelector<HTMLElement>("[data-focus]") ?? box.current)?.focus();
    return () => {
      if (before instanceof HTMLElement) before.focus();
    };
  }, []);
  const leave = (): void => {
    page.dialog.value = undefined;
  };
  return (
    <dialog
      class={o.isWide === true ? "modal is-wide" : "modal"}
      tabIndex={-1}
      ref={box}
      aria-label={o.title}
      onClose={leave}
    >
      <header>
        <h2>{o.title}</h2>
        <IconButton icon="close" label="Close" onClick={leave} />
      </header>
      {o.children}
    </dialog>
  );
}

const KEY_NAMES: Readonly<Record<string, string>> = { ArrowDown: "↓", ArrowUp: "↑", Escape: "Esc" };

function KeyTable(): JSX.Element {
  return (
    <table class="keys">
      <tbody>
        {KEYS.map(({ keys, command, text }) => (
          <tr key={command}>
            <th scope="row">
              {keys.map((key) => (
                <kbd key={key}>{KEY_NAMES[key] ?? key}</kbd>
              ))}
            </th>
            <td>{text}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Qr({ url }: { readonly url: string }): JSX.Element {
  const { size, path } = useMemo(() => qrPath(url), [url]);
  return (
    <figure class="qr">
      <svg viewBox={`0 0 ${size} ${size}`} role="img" aria-label={`QR code of ${url}`} shape-rendering="crispEdges">
        <rect width={size} height={size} class="qr-ground" />
        <path d={path} class="qr-modules" />
      </svg>
      <figcaption>{url}</figcaption>
    </figure>
  );
}

function Clear(): JSX.Element {
  const page = usePage();
  const count = page.live.stats.value?.count ?? page.history.rows.value.length;
  return (
    <>
      <p>{plural(count, "exchange")} with all bodies will be gone. This cannot be undone.</p>
      <div class="dialog-buttons">
        <button
          type="button"
          class="danger"
          onClick={() => {
            page.dialog.value = undefined;
            void page.clear();
          }}
        >
          Delete all
        </button>
        <button
          type="button"
          data-focus
          onClick={() => {
            page.dialog.value = undefined;
          }}
        >
          Keep
        </button>
      </div>
    </>
  );
}
