import type { ReservationView, SessionView, StatusView, TokenView, TunnelView } from "../admin/views.ts";
import { escapeControls } from "../observability/escape.ts";

/** Rows under their titles, each column as wide as its longest cell. */
export function table(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = [titles, ...rows].map((row) => row.map(escapeControls));
  const widths = titles.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  const lines = cells.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  "));
  return `${lines.map((line) => line.trimEnd()).join("\n")}\n`;
}

/** All tokens. */
export function printTokens(tokens: readonly TokenView[]): string {
  return table(
    ["NAME", "ID", "SCOPES", "NAMES", "EXPIRES", "LAST USED"],
    tokens.map((token) => [
      token.name,
      token.id,
      token.scopes.join(","),
      token.names.join(","),
      token.expiresAt ?? "never",
      token.lastUsedAt ?? "never",
    ]),
  );
}

/** All reserved names. */
export function printReservations(reservations: readonly ReservationView[]): string {
  return table(
    ["NAME", "OWNER", "BY", "LAST USED", "UNTIL"],
    reservations.map(({ name, token, owner, source, lastUsedAt, expiresAt }) => [
      name,
      token ?? owner,
      source,
      lastUsedAt,
      expiresAt ?? "released",
    ]),
  );
}

/** The relay at a glance, and who is there. */
export function printStatus(
  status: StatusView,
  sessions: readonly SessionView[],
  tunnels: readonly TunnelView[],
): string {
  const facts = [
    ["relay", `${status.state}${status.isOverloaded ? ", overloaded" : ""}, version ${status.version}`],
    ["since", status.startedAt],
    ["mode", status.domain === null ? "one host" : `tunnels at NAME.${status.domain}`],
    ["store", `${status.store}, ${String(status.tokens)} tokens, ${String(status.reservations)} reserved names`],
    ["sessions", `${String(status.sessions)}, ${String(status.lostSessions)} of them away`],
    ["exchanges", `${String(status.openExchanges)} open, ${String(status.parkedExchanges)} waiting for an agent`],
    ["memory", `${String(Math.round(status.memoryBytes / 1_048_576))} MiB`],
    ["event loop", `${status.eventLoopLagMs.toFixed(0)} ms late`],
  ];
  const people = sessions.map(({ agent, token, state, startedAt, streams }) => [
    agent,
    token,
    state,
    startedAt,
    String(streams),
  ]);
  const places = tunnels.map(({ url, isOnline, token, sessions: holders }) => [
    url,
    isOnline ? "online" : "away",
    token,
    holders.map(({ agent }) => agent).join(", "),
  ]);
  return [
    facts.map(([name = "", text = ""]) => `${name.padEnd(12)}${text}\n`).join(""),
    people.length === 0 ? "" : `\n${table(["AGENT", "TOKEN", "SESSION", "SINCE", "STREAMS"], people)}`,
    places.length === 0 ? "" : `\n${table(["TUNNEL", "STATE", "TOKEN", "AGENTS"], places)}`,
  ].join("");
}
