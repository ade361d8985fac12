import type { JSX } from "preact";
import { type Filter, isFiltering, isStatusFilter, NO_FILTER } from "../core/filter.ts";
import { usePage } from "./context.ts";
import { Icon, IconButton } from "./icons.tsx";

/** The field that `/` goes to. */
export const FILTER_TEXT_ID = "filter-text";

const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
const STATUSES = ["1xx", "2xx", "3xx", "4xx", "5xx", "none"];

/** What of the history is shown. */
export function FilterBar(): JSX.Element {
  const { history } = usePage();
  const filter = history.filter.value;
  const shown = history.visible.value.length;
  const all = history.rows.value.length;
  const set = (part: Partial<Filter>): void => history.setFilter(part);
  return (
    <search class="filter-bar">
      <label class="filter-text">
        <Icon name="search" />
        <input
          id={FILTER_TEXT_ID}
          type="search"
          placeholder="Filter by text"
          aria-label="Text in path, headers or address"
          aria-keyshortcuts="/"
          value={filter.text}
          onInput={(event) => set({ text: event.currentTarget.value })}
        />
        <kbd>/</kbd>
      </label>
      <select
        aria-label="Method"
        value={filter.method}
        onChange={(event) => set({ method: event.currentTarget.value })}
      >
        <option value="">Method</option>
        {METHODS.map((method) => (
          <option key={method}>{method}</option>
        ))}
      </select>
      <input
        class="filter-status"
        list="statuses"
        placeholder="Status"
        aria-label="Status, such as 404, 4xx or none"
        aria-invalid={filter.status !== "" && !isStatusFilter(filter.status)}
        value={filter.status}
        onInput={(event) => set({ status: event.currentTarget.value.trim() })}
      />
      <datalist id="statuses">
        {STATUSES.map((status) => (
          <option key={status} value={status} />
        ))}
      </datalist>
      <input
        class="filter-path"
        placeholder="Path: /hooks/*"
        aria-label="Path, with * for anything"
        value={filter.path}
        onInput={(event) => set({ path: event.currentTarget.value.trim() })}
      />
      {(history.tunnels.value.length > 1 || filter.tunnel !== "") && (
        <select
          aria-label="Tunnel"
          value={filter.tunnel}
          onChange={(event) => set({ tunnel: event.currentTarget.value })}
        >
          <option value="">Tunnel</option>
          {history.tunnels.value.map((tunnel) => (
            <option key={tunnel}>{tunnel}</option>
          ))}
        </select>
      )}
      {isFiltering(filter) && (
        <span class="filter-result">
          <span role="status">
            {shown.toLocaleString("en-US")} of {all.toLocaleString("en-US")}
          </span>
          <IconButton icon="close" label="Show all" onClick={() => set(NO_FILTER)} />
        </span>
      )}
    </search>
  );
}
