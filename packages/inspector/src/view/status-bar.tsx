import type { JSX } from "preact";
import { useRef, useState } from "preact/hooks";
import type { StoreStats, Tunnel } from "../core/exchange.ts";
import { formatBytes, formatMs, plural } from "../core/format.ts";
import { applyTheme, readTheme, type Theme } from "../state/browser.ts";
import { usePage } from "./context.ts";
import { IconButton } from "./icons.tsx";

const NEXT_THEME: Readonly<Record<Theme, Theme>> = { system: "light", light: "dark", dark: "system" };

/** The agent, its tunnels, the history, and what concerns the page as a whole. */
export function StatusBar(): JSX.Element {
  const page = usePage();
  const [theme, setTheme] = useState(readTheme);
  const file = useRef<HTMLInputElement>(null);
  const marked = page.marks.value.size;
  const { live } = page;
  return (
    <header class="status-bar">
      <h1>ggrok</h1>
      <AgentState />
      <ul class="tunnels" aria-label="Tunnels">
        {(live.status.value?.tunnels ?? []).map((tunnel) => (
          <TunnelChip key={tunnel.name} tunnel={tunnel} />
        ))}
      </ul>
      {live.stats.value !== undefined && <HistoryState stats={live.stats.value} />}
      <div class="tools" role="toolbar" aria-label="History">
        <input
          ref={file}
          class="file"
          type="file"
          accept=".har,application/json"
          aria-label="HAR file"
          tabIndex={-1}
          onChange={({ currentTarget }) => {
            const chosen = currentTarget.files?.[0];
            currentTarget.value = "";
            if (chosen !== undefined) void page.importHar(chosen);
          }}
        />
        <IconButton icon="upload" label="Import a HAR" onClick={() => file.current?.click()} />
        <IconButton
          icon="download"
          label={marked > 0 ? `Export ${plural(marked, "marked exchange")} as HAR` : "Export what is shown as HAR"}
          onClick={() => page.exportHar()}
        />
        <IconButton
          icon="trash"
          label="Delete the history"
          onClick={() => {
            page.dialog.value = { kind: "clear" };
          }}
        />
        <IconButton
          icon="theme"
          label={`Look: ${theme}`}
          onClick={() => {
            const next = NEXT_THEME[theme];
            applyTheme(next);
            setTheme(next);
          }}
        />
        <IconButton
          icon="help"
          label="Keys"
          onClick={() => {
            page.dialog.value = { kind: "help" };
          }}
        />
      </div>
    </header>
  );
}

function AgentState(): JSX.Element {
  const { live } = usePage();
  const status = live.status.value;
  const isLost = live.connection.value === "lost";
  const isOnline = !isLost && status?.status === "online";
  const text = isLost ? "agent gone" : (status?.session ?? "connecting");
  const latency = status?.latency_ms ?? null;
  return (
    <p class={isOnline ? "agent is-online" : "agent"} title={status === undefined ? "" : `Relay ${status.relay}`}>
      <span class="dot" aria-hidden="true" />
      {text}
      {isOnline && latency !== null && <span class="quiet"> {formatMs(latency)}</span>}
    </p>
  );
}

function TunnelChip({ tunnel }: { readonly tunnel: Tunnel }): JSX.Element {
  const page = usePage();
  const url = tunnel.public_url;
  return (
    <li class="tunnel-chip">
      {/^https?:/.test(url) ? (
        <a href={url} target="_blank" rel="noreferrer noopener">
          {url.replace(/^https?:\/\//, "")}
        </a>
      ) : (
        <b>{url}</b>
      )}
      <span class="target" title={`Forwards to ${tunnel.config.addr}`}>
        → {tunnel.config.addr.replace(/^https?:\/\//, "")}
      </span>
      {!tunnel.config.inspect && <span class="quiet">not recorded</span>}
      <IconButton icon="copy" label={`Copy ${url}`} onClick={() => void page.copy(url, "the address")} />
      <IconButton
        icon="qr"
        label={`QR code of ${url}`}
        onClick={() => {
          page.dialog.value = { kind: "qr", url };
        }}
      />
    </li>
  );
}

function HistoryState({ stats }: { readonly stats: StoreStats }): JSX.Element {
  if (stats.store === "none") return <p class="history-state is-warning">Recording is off</p>;
  const facts = `${plural(stats.count ?? 0, "exchange")}, ${formatBytes(stats.bytes ?? 0)}`;
  if (!stats.recording) return <p class="history-state is-warning">Recording has stopped: {stats.problem ?? ""}</p>;
  const dropped = stats.dropped ?? 0;
  return (
    <p class="history-state">
      {facts}
      {stats.store === "memory" ? ", in memory only" : <span class="on-disk">, kept on disk</span>}
      {dropped > 0 && <span class="is-warning">, {plural(dropped, "exchange")} not recorded</span>}
    </p>
  );
}
