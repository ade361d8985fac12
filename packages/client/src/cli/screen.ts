import { STATUS_CODES } from "node:http";
import type { ExchangeFigures } from "../inspector/exchange-stats.ts";
import { escapeForTerminal } from "./escape.ts";

/** One row of the request list; without status while it is open. */
export interface ScreenRequest {
  readonly id: string;
  readonly time: Date;
  readonly method: string;
  readonly path: string;
  readonly status?: number;
  readonly isOver: boolean;
}

/** All that the screen shows. */
export interface ScreenModel {
  readonly status: "online" | "connecting" | "reconnecting" | "closing";
  readonly detail?: string;
  readonly relay: string;
  readonly version: string;
  readonly latencyMs?: number;
  readonly webUrl?: string;
  readonly tunnels: readonly { url?: string; target: string; note?: string }[];
  readonly figures: ExchangeFigures;
  /** Newest first. */
  readonly requests: readonly ScreenRequest[];
  readonly notices: readonly string[];
}

/** What a piece of a line means; the renderer knows the colour. */
export type Tone = "plain" | "bold" | "good" | "warn" | "bad" | "dim";

/** One piece of a line. */
export interface Cell {
  readonly text: string;
  readonly tone: Tone;
}

const LABEL_WIDTH = 30;
const NUMBER_WIDTH = 8;

/**
 * Lays the screen out in ngrok's order and with its labels, so that eyes and scripts that know it find their way. Pure:
 * as many lines as fit, none wider than the terminal, every text from outside escaped.
 */
export function composeScreen(model: ScreenModel, size: { columns: number; rows: number }): Cell[][] {
  const lines: Cell[][] = [headLine(size.columns), []];
  for (const notice of model.notices) lines.push([cell(notice, "warn")]);
  if (model.notices.length > 0) lines.push([]);
  const tone = model.status === "online" ? "good" : "warn";
  lines.push([
    label("Session Status"),
    cell(model.status, tone),
    cell(model.detail === undefined ? "" : `  ${model.detail}`, "dim"),
  ]);
  lines.push([label("Relay"), cell(model.relay)]);
  lines.push([label("Version"), cell(model.version)]);
  if (model.latencyMs !== undefined)
    lines.push([label("Latency"), cell(`${Math.max(1, Math.round(model.latencyMs))}ms`)]);
  if (model.webUrl !== undefined) lines.push([label("Web Interface"), cell(model.webUrl)]);
  for (const tunnel of model.tunnels) {
    lines.push([
      label("Forwarding"),
      cell(tunnel.url ?? "(no address yet)", tunnel.url === undefined ? "dim" : "bold"),
      cell(` -> ${tunnel.target}`),
    ]);
    if (tunnel.note !== undefined) lines.push([label(""), cell(tunnel.note, "warn")]);
  }
  const f = model.figures;
  lines.push([]);
  lines.push([
    label("Connections"),
    cell(["ttl", "opn", "rt1", "rt5", "p50", "p90"].map((name) => name.padEnd(NUMBER_WIDTH)).join(""), "dim"),
  ]);
  const numbers = [
    String(f.total),
    String(f.open),
    f.rate1.toFixed(2),
    f.rate5.toFixed(2),
    seconds(f.p50Ms),
    seconds(f.p90Ms),
  ];
  lines.push([label(""), cell(numbers.map((text) => text.padEnd(NUMBER_WIDTH)).join(""))]);
  if (model.requests.length > 0) {
    lines.push([], [cell("HTTP Requests")], [cell("-------------")], []);
    for (const request of model.requests) lines.push(requestLine(request, size.columns));
  }
  return lines.slice(0, Math.max(1, size.rows)).map((line) => fit(line, size.columns));
}

function headLine(columns: number): Cell[] {
  const keys = "(Ctrl+C to quit)";
  return [cell("ggrok", "bold"), cell(keys.padStart(Math.max(keys.length + 1, columns - "ggrok".length)), "dim")];
}

function requestLine(request: ScreenRequest, columns: number): Cell[] {
  const time = request.time.toTimeString().slice(0, 8);
  const status =
    request.status === undefined
      ? request.isOver
        ? "no answer"
        : ""
      : `${request.status} ${STATUS_CODES[request.status] ?? ""}`;
  const tone: Tone =
    request.status === undefined
      ? request.isOver
        ? "bad"
        : "dim"
      : request.status < 400
        ? "good"
        : request.status < 500
          ? "warn"
          : "bad";
  const head = `${time} ${escapeForTerminal(request.method).padEnd(7)} `;
  const pathWidth = Math.max(10, Math.min(60, columns - head.length - 26));
  const path = padOrCut(escapeForTerminal(request.path), pathWidth);
  return [{ text: `${head}${path} `, tone: "plain" }, cell(status, tone)];
}

function label(text: string): Cell {
  return cell(text.padEnd(LABEL_WIDTH));
}

function cell(text: string, tone: Tone = "plain"): Cell {
  return { text: escapeForTerminal(text), tone };
}

/** ngrok shows durations in seconds. */
function seconds(ms: number): string {
  return (ms / 1_000).toFixed(2);
}

function fit(line: readonly Cell[], columns: number): Cell[] {
  let left = columns;
  const fitted: Cell[] = [];
  for (const { text, tone } of line) {
    if (left <= 0 || text === "") continue;
    const cut = cutTo(text, left);
    left -= widthOf(cut);
    fitted.push({ text: cut, tone });
  }
  return fitted;
}

function padOrCut(text: string, width: number): string {
  const cut = widthOf(text) > width ? `${cutTo(text, width - 1)}…` : text;
  return cut + " ".repeat(Math.max(0, width - widthOf(cut)));
}

function cutTo(text: string, width: number): string {
  let used = 0;
  let cut = "";
  for (const character of text) {
    used += charWidth(character);
    if (used > width) break;
    cut += character;
  }
  return cut;
}

/** Columns a text takes on a terminal. */
export function widthOf(text: string): number {
  let width = 0;
  for (const character of text) width += charWidth(character);
  return width;
}

function charWidth(character: string): number {
  if (character < "\u0300") return 1;
  if (/\p{Mn}|\p{Me}/u.test(character)) return 0;
  return /\p{Script=Han}|\p{Script=Hiragana}|\p{Script=Katakana}|\p{Script=Hangul}|\p{Emoji_Presentation}|[\u3000-\u303f\uff00-\uff60]/u.test(
    character,
  )
    ? 2
    : 1;
}
