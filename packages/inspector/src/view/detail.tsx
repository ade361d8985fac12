import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { Exchange, Summary } from "../core/exchange.ts";
import { formatBytes, formatMoment, formatMs, plural } from "../core/format.ts";
import { useLoaded } from "../state/load.ts";
import { usePage } from "./context.ts";
import { DetailActions } from "./detail-actions.tsx";
import { DiffView } from "./diff-view.tsx";
import { StatusCode } from "./exchange-list.tsx";
import { IconButton } from "./icons.tsx";
import { MessageView } from "./message-view.tsx";
import { SideView } from "./side-view.tsx";
import { TimingBar } from "./timing-bar.tsx";

type TabName = "request" | "response" | "messages" | "changes";

/** The selected exchange. */
export function Detail(): JSX.Element {
  const page = usePage();
  const id = page.selectedId.value;
  const row = page.selected.value;
  // A head and an answer may still be on their way, and an open exchange grows.
  const stage = row === undefined ? "" : stageOf(row);
  const loaded = useLoaded(id === undefined ? undefined : `${id} ${stage}`, (signal) =>
    page.api.exchange(id ?? "", signal),
  );
  const [kept, setKept] = useState<Exchange>();
  if (loaded.state === "ready" && loaded.value !== kept) setKept(loaded.value);
  if (id === undefined) return <EmptyDetail />;
  // What is shown stays until what comes next is there: no flicker from row to row.
  const exchange = loaded.state === "ready" ? loaded.value : kept?.id === id ? kept : undefined;
  if (exchange !== undefined) return <ExchangeDetail key={exchange.id} exchange={exchange} row={row} />;
  if (loaded.state === "failed") {
    return (
      <div class="nothing">
        <p class="is-warning">{loaded.message}</p>
        <button type="button" onClick={() => page.select(undefined)}>
          Close
        </button>
      </div>
    );
  }
  return <p class="nothing">Loading</p>;
}

function stageOf({ outcome, request, response }: Summary): string {
  return `${outcome} ${request.body.size} ${request.body.partial} ${request.body.stored} ${response?.status_code ?? ""}`;
}

function EmptyDetail(): JSX.Element {
  return (
    <div class="nothing">
      <p>Select an exchange to see all of it.</p>
      <p>
        <kbd>j</kbd> <kbd>k</kbd> move, <kbd>/</kbd> filters, <kbd>?</kbd> shows all keys.
      </p>
    </div>
  );
}

let lastTab: TabName = "request";

function ExchangeDetail({
  exchange,
  row,
}: {
  readonly exchange: Exchange;
  readonly row: Summary | undefined;
}): JSX.Element {
  const page = usePage();
  const { request, response } = exchange;
  const [wanted, setWanted] = useState<TabName>(lastTab);
  const messages = row?.messages ?? exchange.messages;
  const tabs: { name: TabName; label: string }[] = [
    { name: "request", label: "Request" },
    { name: "response", label: "Response" },
    ...(messages > 0 || exchange.kind === "websocket" || exchange.kind === "sse"
      ? [{ name: "messages" as const, label: `Messages ${messages}` }]
      : []),
    ...(exchange.replay_of === null ? [] : [{ name: "changes" as const, label: "Changes" }]),
  ];
  const tab = tabs.some(({ name }) => name === wanted) ? wanted : "request";
  const show = (name: TabName): void => {
    lastTab = name;
    setWanted(name);
  };
  return (
    <article class="detail" aria-label={`${request.method} ${request.uri}`}>
      <header class="detail-head">
        <div class="title-line">
          <span class="back-button">
            <IconButton icon="back" label="Back to the list" onClick={() => page.select(undefined)} />
          </span>
          <h2>
            <span class="method">{request.method}</span> <span class="uri">{request.uri}</span>
          </h2>
          <StatusCode row={row ?? { response: null, outcome: exchange.outcome }} />
        </div>
        <Facts exchange={exchange} />
        <Relations exchange={exchange} />
        <DetailActions exchange={exchange} />
        <TimingBar timings={exchange.timings} isOpen={exchange.outcome === "open"} />
        <div class="tabs" role="tablist" aria-label="Parts of the exchange">
          {tabs.map(({ name, label }) => (
            <button
              key={name}
              type="button"
              role="tab"
              id={`tab-${name}`}
              aria-selected={tab === name}
              aria-controls="tab-panel"
              tabIndex={tab === name ? 0 : -1}
              onClick={() => show(name)}
              onKeyDown={(event) => {
                const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
                if (step === undefined) return;
                const next = tabs[(tabs.findIndex((t) => t.name === name) + step + tabs.length) % tabs.length];
                if (next === undefined) return;
                show(next.name);
                document.getElementById(`tab-${next.name}`)?.focus();
              }}
            >
              {label}
            </button>
          ))}
        </div>
      </header>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keys */}
      <div class="tab-panel scrolls" role="tabpanel" id="tab-panel" aria-labelledby={`tab-${tab}`} tabIndex={0}>
        {tab === "request" && <SideView exchange={exchange} side="request" message={request} />}
        {tab === "response" &&
          (response === null ? (
            <NoResponse exchange={exchange} />
          ) : (
            <SideView exchange={exchange} side="response" message={response} />
          ))}
        {tab === "messages" && <MessageView id={exchange.id} dropped={row?.messages_dropped ?? 0} />}
        {tab === "changes" && exchange.replay_of !== null && (
          <DiffView exchange={exchange} originalId={exchange.replay_of} />
        )}
      </div>
    </article>
  );
}

/** Outcomes that need words. */
const OUTCOMES: Readonly<Record<string, string>> = {
  open: "still open",
  "visitor-left": "the visitor left before the end",
  "app-reset": "the app ended its connection",
  refused: "the app could not be reached",
  "timed-out": "the app did not answer in time",
  failed: "failed",
};

function Facts({ exchange }: { readonly exchange: Exchange }): JSX.Element {
  const page = usePage();
  const { timings, request, response, error } = exchange;
  const outcome = OUTCOMES[exchange.outcome];
  return (
    <p class="facts">
      <span>{formatMoment(timings.received_at)}</span>
      {exchange.outcome !== "open" && <span>{formatMs(timings.end_ms)}</span>}
      <span title="Bytes of the request's body and of the answer's">
        ↑ {formatBytes(request.body.size)} ↓ {formatBytes(response?.body.size ?? 0)}
      </span>
      {exchange.remote_addr !== "" && <span title="The visitor's address">{exchange.remote_addr}</span>}
      <span class="tunnel-name">{exchange.tunnel_name}</span>
      <button
        type="button"
        class="plain"
        title="Copy the request id, which the visitor's error page shows too"
        onClick={() => void page.copy(exchange.id, "the request id")}
      >
        <code>{exchange.id}</code>
      </button>
      {outcome !== undefined && (
        <span class={exchange.outcome === "open" ? "" : "is-warning"}>
          {outcome}
          {error !== null && ` (${error})`}
        </span>
      )}
    </p>
  );
}

const VERDICTS = { valid: "Signature valid", invalid: "Signature invalid", skew: "Clock skew", unknown: "Not checked" };

/** What the exchange has to do with others, and who has signed it. */
function Relations({ exchange }: { readonly exchange: Exchange }): JSX.Element | null {
  const page = usePage();
  const { signature, replay_of: original } = exchange;
  const replays = page.history.rows.value.filter((other) => other.replay_of === exchange.id);
  if (signature === null && original === null && replays.length === 0 && !exchange.imported) return null;
  return (
    <p class="relations">
      {signature !== null && (
        <span class={`verdict verdict-${signature.verdict}`}>
          {VERDICTS[signature.verdict]} ({signature.provider}): {signature.reason}
        </span>
      )}
      {original !== null && (
        <button type="button" class="link" onClick={() => page.select(original)}>
          Replay of {original}
        </button>
      )}
      {replays.length > 0 && (
        <button type="button" class="link" onClick={() => page.select(replays[0]?.id)}>
          {plural(replays.length, "replay")} of this
        </button>
      )}
      {exchange.imported && <span class="quiet">From a HAR</span>}
    </p>
  );
}

function NoResponse({ exchange }: { readonly exchange: Exchange }): JSX.Element {
  const outcome = OUTCOMES[exchange.outcome];
  return (
    <p class="nothing">
      {exchange.outcome === "open" ? "No answer yet." : `There was no answer: ${outcome ?? exchange.outcome}.`}
    </p>
  );
}
