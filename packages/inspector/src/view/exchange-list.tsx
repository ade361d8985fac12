import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import type { Summary } from "../core/exchange.ts";
import { isFiltering } from "../core/filter.ts";
import { formatBytes, formatMoment, formatMs, formatTime } from "../core/format.ts";
import { usePage } from "./context.ts";
import { VirtualList } from "./virtual-list.tsx";

/** Pixels; the style sheet has the same. */
const ROW_HEIGHT = 30;

const LIST_VERDICTS = { valid: "signed", invalid: "invalid", skew: "clock skew", unknown: "not checked" } as const;

/** The exchanges, newest first. */
export function ExchangeList(): JSX.Element {
  const page = usePage();
  const rows = page.history.visible.value;
  const ids = useMemo(() => rows.map((row) => row.id), [rows]);
  const selectedId = page.selectedId.value;
  const hasTunnels = page.history.tunnels.value.length > 1;
  return (
    // biome-ignore lint/a11y/useSemanticElements: rows that are placed one by one cannot be those of a <table>
    <div
      class={hasTunnels ? "exchanges has-tunnels" : "exchanges"}
      role="grid"
      aria-label="Exchanges, newest first"
      aria-rowcount={rows.length + 1}
    >
      {/* biome-ignore lint/a11y/useSemanticElements: rows that are placed one by one cannot be those of a <table> */}
      {/* biome-ignore lint/a11y/useFocusableInteractive: the header has nothing to operate */}
      <div class="row head" role="row" aria-rowindex={1}>
        <HeadCell name="mark" label="" />
        <HeadCell name="method" label="Method" />
        <HeadCell name="path" label="Path" />
        <HeadCell name="status" label="Status" />
        <HeadCell name="duration" label="Time" />
        <HeadCell name="size" label="Size" />
        {hasTunnels && <HeadCell name="tunnel" label="Tunnel" />}
        <HeadCell name="time" label="At" />
      </div>
      {rows.length === 0 && <Nothing />}
      <VirtualList
        ids={ids}
        rowHeight={ROW_HEIGHT}
        shownId={selectedId}
        attributes={{ role: "rowgroup", tabIndex: 0, "aria-label": "Rows", "aria-keyshortcuts": "j k" }}
        row={(index) => {
          const row = rows[index];
          return row === undefined ? null : (
            <Row row={row} index={index} isSelected={row.id === selectedId} hasTunnel={hasTunnels} />
          );
        }}
      />
    </div>
  );
}

function HeadCell({ name, label }: { readonly name: string; readonly label: string }): JSX.Element {
  return (
    // biome-ignore lint/a11y/useSemanticElements: see the row
    // biome-ignore lint/a11y/useFocusableInteractive: the header has nothing to operate
    <span class={`cell ${name}`} role="columnheader" aria-label={label === "" ? "Marked" : label}>
      {label}
    </span>
  );
}

function Row(o: {
  readonly row: Summary;
  readonly index: number;
  readonly isSelected: boolean;
  readonly hasTunnel: boolean;
}): JSX.Element {
  const page = usePage();
  const { row } = o;
  const { request, response, timings } = row;
  const isMarked = page.marks.value.has(row.id);
  const isOpen = row.outcome === "open";
  const cell = (name: string, content: preact.ComponentChildren, title?: string): JSX.Element => (
    // biome-ignore lint/a11y/useSemanticElements: see the header
    // biome-ignore lint/a11y/useFocusableInteractive: the list has the focus, the keys move the selection
    <span class={`cell ${name}`} role="gridcell" title={title}>
      {content}
    </span>
  );
  return (
    // biome-ignore lint/a11y/useSemanticElements: see the header
    // biome-ignore lint/a11y/useFocusableInteractive: the list has the focus, the keys move the selection
    // biome-ignore lint/a11y/useKeyWithClickEvents: j and k, or the arrows
    <div
      class="row"
      role="row"
      aria-rowindex={o.index + 2}
      aria-selected={o.isSelected}
      data-id={row.id}
      onClick={() => page.select(row.id)}
    >
      {cell(
        "mark",
        <input
          type="checkbox"
          tabIndex={-1}
          aria-label={`Mark ${request.method} ${request.uri}`}
          checked={isMarked}
          onClick={(event) => event.stopPropagation()}
          onChange={() => page.toggleMark(row.id)}
        />,
      )}
      {cell("method", request.method)}
      {cell(
        "path",
        <>
          <span class="uri">{request.uri}</span>
          <Tags row={row} />
        </>,
        request.uri,
      )}
      {cell("status", <StatusCode row={row} />)}
      {cell("duration", isOpen ? "open" : formatMs(timings.end_ms))}
      {cell("size", response === null ? "–" : formatBytes(response.body.size))}
      {o.hasTunnel && cell("tunnel", row.tunnel_name, row.tunnel_name)}
      {cell("time", formatTime(timings.received_at), formatMoment(timings.received_at))}
    </div>
  );
}

/** What is special about an exchange. */
function Tags({ row }: { readonly row: Summary }): JSX.Element {
  const verdict = row.signature?.verdict;
  return (
    <>
      {row.kind === "websocket" && <span class="tag">ws {row.messages}</span>}
      {row.kind === "sse" && <span class="tag">sse {row.messages}</span>}
      {row.kind === "upgrade" && <span class="tag">upgrade</span>}
      {row.replay_of !== null && <span class="tag">replay</span>}
      {row.imported && <span class="tag">imported</span>}
      {verdict !== undefined && <span class={`tag verdict-${verdict}`}>{LIST_VERDICTS[verdict]}</span>}
    </>
  );
}

/** The status in its colour; what stands there when none came. */
export function StatusCode({ row }: { readonly row: Pick<Summary, "response" | "outcome"> }): JSX.Element {
  const status = row.response?.status_code;
  if (status === undefined) return <span class="status-code is-none">{row.outcome === "open" ? "…" : "–"}</span>;
  const isCut = row.outcome !== "complete" && row.outcome !== "open";
  return (
    <span class={`status-code is-${isCut ? "5" : Math.floor(status / 100)}xx`} title={isCut ? row.outcome : undefined}>
      {status}
      {isCut && "!"}
    </span>
  );
}

function Nothing(): JSX.Element {
  const page = usePage();
  const { history, live } = page;
  if (live.stats.value?.store === "none")
    return <p class="nothing">Nothing is recorded: the agent runs with --inspect false.</p>;
  if (history.problem.value !== "") return <p class="nothing is-warning">{history.problem.value}</p>;
  if (history.isLoading.value) return <p class="nothing">Loading</p>;
  if (isFiltering(history.filter.value)) return <p class="nothing">No exchange fits the filter.</p>;
  const url = live.status.value?.tunnels[0]?.public_url;
  return (
    <div class="nothing">
      <p>No request has come yet.</p>
      {url !== undefined && (
        <p>
          Send one: <code>curl {url}</code>
        </p>
      )}
    </div>
  );
}
