import { clearLine, clearScreenDown, cursorTo } from "node:readline";
import type { WriteStream } from "node:tty";
import { styleText } from "node:util";
import type { AgentEvent } from "../agent/events.ts";
import { escapeForTerminal, stringifyForTerminal } from "./escape.ts";
import type { Log } from "./log.ts";
import { type Cell, composeScreen, type ScreenModel, type ScreenRequest, type Tone, widthOf } from "./screen.ts";

/** Shortest time between two pictures, milliseconds. */
const FRAME_MS = 100;
/** How often the live figures move when nothing happens, milliseconds. */
const TICK_MS = 1_000;
/** Requests kept for the list; more rows than any terminal has. */
const MAX_REQUESTS = 200;
const MAX_NOTICES = 3;

/** Where output goes. Only renderers write there. */
export interface Output {
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
}

/** The parts of the screen that are asked for at each picture instead of being told. */
export type LiveView = () => Pick<ScreenModel, "latencyMs" | "webUrl" | "tunnels"> & {
  figures?: ScreenModel["figures"];
};

const NO_FIGURES: ScreenModel["figures"] = {
  total: 0,
  open: 0,
  rate1: 0,
  rate5: 0,
  rate15: 0,
  p50Ms: 0,
  p90Ms: 0,
  p95Ms: 0,
  p99Ms: 0,
};

/** Shows what the agent does. */
export interface Renderer {
  /** False: it shows no requests, so nobody needs to tell it of them. */
  readonly showsRequests: boolean;
  event(event: AgentEvent): void;
  /** An exchange began; its end comes as a `request` event. Undefined where only those are shown. */
  exchangeStarted?(exchange: { id: string; method: string; path: string }): void;
  /** A line for people. */
  notice(text: string): void;
  /** The app began or ceased to listen; the screen asks for that itself. */
  appListens(text: string): void;
  /** Gives the terminal back. */
  stop(): void;
}

/** With `--json`: one object a line on standard output. Notices go to standard error. */
export function createJsonRenderer(output: Output, log: Log | undefined): Renderer {
  return {
    showsRequests: true,
    event(event) {
      output.stdout.write(`${stringifyForTerminal(event)}\n`);
      if (log !== undefined) logEvent(log, event);
    },
    notice: (text) => output.stderr.write(`${escapeForTerminal(text)}\n`),
    appListens: (text) => output.stderr.write(`${escapeForTerminal(text)}\n`),
    stop() {},
  };
}

/**
 * Without a terminal: the bare URLs alone on standard output, one a line in the order of the configuration, each once;
 * the rest as log lines.
 */
export function createPlainRenderer(output: Output, log: Log | undefined, names: readonly string[]): Renderer {
  /** Every address of a tunnel that was announced, the first one first: one of TCP may have two. */
  const urls = new Map<string, string[]>();
  let printed = 0;
  return {
    showsRequests: log?.isEnabled("info") === true,
    event(event) {
      if (event.event === "tunnel.online") {
        const known = urls.get(event.name) ?? [];
        const isPrinted = names.indexOf(event.name) < printed;
        if (isPrinted && !known.includes(event.url)) output.stdout.write(`${escapeForTerminal(event.url)}\n`);
        urls.set(event.name, known.includes(event.url) ? known : [...known, event.url]);
        for (let name = names[printed]; name !== undefined && urls.has(name); name = names[printed]) {
          for (const url of urls.get(name) ?? []) output.stdout.write(`${escapeForTerminal(url)}\n`);
          printed += 1;
        }
      }
      if (log !== undefined) logEvent(log, event);
    },
    notice(text) {
      if (log === undefined) output.stderr.write(`${escapeForTerminal(text)}\n`);
      else log.write("warn", text);
    },
    appListens(text) {
      if (log === undefined) output.stderr.write(`${escapeForTerminal(text)}\n`);
      else log.write("info", text);
    },
    stop() {},
  };
}

/** On a terminal: one screen, redrawn at most ten times a second. */
export function createScreenRenderer(o: {
  output: Output;
  log: Log | undefined;
  relay: string;
  version: string;
  live: LiveView;
}): Renderer {
  const out = o.output.stdout;
  let status: ScreenModel["status"] = "connecting";
  let detail: string | undefined;
  let requests: ScreenRequest[] = [];
  let notices: string[] = [];
  let frame: NodeJS.Timeout | undefined;
  let isStopped = false;

  const draw = (): void => {
    frame = undefined;
    // A terminal that does not keep up gets the next picture instead of a backlog of old ones.
    if (isStopped || out.writableNeedDrain) return;
    const size = { columns: out.columns || 80, rows: out.rows || 24 };
    const model: ScreenModel = {
      status,
      ...(detail !== undefined && { detail }),
      relay: o.relay,
      version: o.version,
      figures: NO_FIGURES,
      requests,
      notices,
      ...o.live(),
    };
    drawLines(out, composeScreen(model, size));
  };
  const schedule = (): void => {
    if (!isStopped) frame ??= setTimeout(draw, FRAME_MS);
  };
  const tick = setInterval(schedule, TICK_MS);
  out.on("resize", schedule);
  const restore = (): void => {
    if (isStopped) return;
    isStopped = true;
    clearTimeout(frame);
    clearInterval(tick);
    out.off("resize", schedule);
    out.write("\u001b[?1049l\u001b[?25h");
  };
  process.once("exit", restore);
  // The alternate screen, as ngrok's: nothing the user had on the terminal is lost, and resizing reflows nothing.
  out.write("\u001b[?1049h\u001b[?25l");
  draw();

  return {
    showsRequests: true,
    event(event) {
      if (o.log !== undefined) logEvent(o.log, event);
      if (event.event === "session.connecting") status = event.attempt === 1 ? "connecting" : "reconnecting";
      else if (event.event === "session.reconnecting") {
        status = "reconnecting";
        detail = `${event.reason}; next try in ${(event.delayMs / 1_000).toFixed(1)} s`;
      } else if (event.event === "session.online") {
        status = "online";
        detail = undefined;
      } else if (event.event === "request") {
        const { id, status: code } = event;
        requests = requests.map((r) =>
          r.id === id ? { ...r, isOver: true, ...(code !== undefined && { status: code }) } : r,
        );
      }
      schedule();
    },
    exchangeStarted({ id, method, path }) {
      requests = [{ id, method, path, time: new Date(), isOver: false }, ...requests].slice(0, MAX_REQUESTS);
      schedule();
    },
    notice(text) {
      notices = [...notices, text].slice(-MAX_NOTICES);
      schedule();
    },
    appListens(text) {
      o.log?.write("info", text);
      schedule();
    },
    stop() {
      process.off("exit", restore);
      restore();
    },
  };
}

function drawLines(out: WriteStream, lines: readonly (readonly Cell[])[]): void {
  out.cork();
  cursorTo(out, 0, 0);
  for (const [index, line] of lines.entries()) {
    cursorTo(out, 0, index);
    for (const cell of line) out.write(paint(cell, out));
    // Behind a full line the cursor stands on the last column, which many terminals would clear.
    if (widthOf(line.map(({ text }) => text).join("")) < (out.columns || 80)) clearLine(out, 1);
  }
  if (lines.length < (out.rows || 24)) {
    cursorTo(out, 0, lines.length);
    clearScreenDown(out);
  }
  out.uncork();
}

const STYLES: Readonly<Record<Exclude<Tone, "plain">, "bold" | "green" | "yellow" | "red" | "dim">> = {
  bold: "bold",
  good: "green",
  warn: "yellow",
  bad: "red",
  dim: "dim",
};

function paint(cell: Cell, stream: WriteStream): string {
  return cell.tone === "plain" ? cell.text : styleText(STYLES[cell.tone], cell.text, { stream });
}

/** The events as log lines, with the words of ngrok's log where it has them: scripts look for `started tunnel`. */
function logEvent(log: Log, event: AgentEvent): void {
  switch (event.event) {
    case "session.connecting":
      log.write("debug", "connecting to the relay", { obj: "session", attempt: event.attempt });
      return;
    case "session.online":
      log.write("info", "client session established", {
        obj: "session",
        attempt: event.attempt,
        resumed: event.resumed,
      });
      return;
    case "session.reconnecting":
      log.write("warn", "reconnecting", {
        obj: "session",
        attempt: event.attempt,
        delayMs: event.delayMs,
        reason: event.reason,
      });
      return;
    case "tunnel.online":
      log.write("info", "started tunnel", { obj: "tunnels", name: event.name, addr: event.target, url: event.url });
      return;
    case "tunnel.offline":
      log.write("warn", "tunnel offline", { obj: "tunnels", name: event.name, reason: event.reason });
      return;
    case "inspector.online":
      log.write("info", "starting web service", {
        obj: "web",
        addr: event.url.replace(/^http:\/\//, ""),
        url: event.url,
      });
      return;
    case "request":
      log.write("info", "request", {
        id: event.id,
        method: event.method,
        path: event.path,
        status: event.status,
        durationMs: Math.round(event.durationMs),
        bytesIn: event.bytesIn,
        bytesOut: event.bytesOut,
      });
      return;
    case "error":
      log.write("error", event.message, { code: event.code });
      return;
  }
}
