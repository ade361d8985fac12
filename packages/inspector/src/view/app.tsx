import type { JSX } from "preact";
import { useLayoutEffect } from "preact/hooks";
import { commandFor } from "../core/keys.ts";
import type { PageState } from "../state/page-state.ts";
import { usePage } from "./context.ts";
import { Detail } from "./detail.tsx";
import { Dialogs } from "./dialogs.tsx";
import { ExchangeList } from "./exchange-list.tsx";
import { FILTER_TEXT_ID, FilterBar } from "./filter-bar.tsx";
import { Splitter } from "./splitter.tsx";
import { StatusBar } from "./status-bar.tsx";

/** The whole page. */
export function App(): JSX.Element {
  const page = usePage();
  // Before the first drawing: a key that comes at once counts too.
  useLayoutEffect(() => listenToKeys(page), [page]);
  const isOpen = page.selectedId.value !== undefined;
  const notice = page.notice.value;
  return (
    <div class={isOpen ? "page has-detail" : "page"}>
      <StatusBar />
      <main class="panes">
        <section class="pane list-pane" aria-label="Exchanges">
          <FilterBar />
          <ExchangeList />
        </section>
        <Splitter />
        <section class="pane detail-pane" aria-label="Selected exchange">
          <Detail />
        </section>
      </main>
      <Dialogs />
      <div class="notices" role="status" aria-live="polite">
        {notice !== undefined && <p class={notice.isError ? "notice is-error" : "notice"}>{notice.text}</p>}
      </div>
    </div>
  );
}

function listenToKeys(page: PageState): () => void {
  const onKey = (event: KeyboardEvent): void => {
    if (page.dialog.value !== undefined) {
      // The browser would close the dialog at once and say so later; a key in between would find a dialog that is not there.
      if (event.key === "Escape" && !event.isComposing) {
        event.preventDefault();
        page.dialog.value = undefined;
      }
      // It has keys of its own.
      return;
    }
    const focused = document.activeElement;
    const command = commandFor({
      key: event.key,
      hasModifier: event.ctrlKey || event.metaKey || event.altKey,
      isTyping: focused?.matches("input:not([type=checkbox]), textarea, select") ?? false,
      isControl: focused?.matches("button, a, summary, input, [role=separator], [role=tab], .scrolls") ?? false,
    });
    if (command === undefined) return;
    event.preventDefault();
    run(page, command);
  };
  document.addEventListener("keydown", onKey);
  return () => document.removeEventListener("keydown", onKey);
}

function run(page: PageState, command: NonNullable<ReturnType<typeof commandFor>>): void {
  const id = page.selectedId.value;
  const selected = page.selected.value;
  switch (command) {
    case "next":
    case "previous":
    case "first":
    case "last":
      page.move(command);
      break;
    case "search":
      document.getElementById(FILTER_TEXT_ID)?.focus();
      break;
    case "replay":
      if (selected?.replayable === false) page.say("The request's body is not stored: it cannot be replayed", true);
      else if (id !== undefined) void page.replay({ id });
      break;
    case "edit":
      // Not the row: that of a replay comes a moment after it was selected.
      if (id !== undefined) page.dialog.value = { kind: "edit", id };
      break;
    case "mark":
      if (id !== undefined) page.toggleMark(id);
      break;
    case "help":
      page.dialog.value = { kind: "help" };
      break;
    case "leave":
      if (document.activeElement instanceof HTMLElement && document.activeElement.matches("input, select")) {
        document.activeElement.blur();
      } else page.select(undefined);
      break;
  }
}
