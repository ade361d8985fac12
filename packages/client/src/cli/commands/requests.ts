import { createWriteStream, fchmodSync, openSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type Command, InvalidArgumentError, Option } from "@commander-js/extra-typings";
import { GgrokError } from "@ggrok/protocol";
import { z } from "zod";
import { parseFilterText } from "../../inspector/filter.ts";
import type { ApiClient } from "../api-client.ts";
import { escapeForTerminal, stringifyForTerminal } from "../escape.ts";
import { describeExchange, exchangeSchema, lineOf, rawHead, type Summary } from "../exchange-view.ts";
import { ExitCode, parseFlag, UsageError } from "../exit-codes.ts";
import { followRequests, LIST_PATH, listRequests, PAGE_SIZE } from "../follow-requests.ts";
import type { HistoryFlags } from "../history.ts";
import type { Io } from "../io.ts";

const importSchema = z.object({
  imported: z.number(),
  skipped: z.array(z.object({ index: z.number(), reason: z.string() })),
});

interface ListFlags extends HistoryFlags {
  readonly json?: boolean;
  readonly follow?: boolean;
  readonly filter?: string;
  readonly limit: number;
}

interface ShowFlags extends HistoryFlags {
  readonly raw?: boolean;
  readonly part?: "request" | "response";
  readonly as?: "curl" | "fetch" | "httpie";
  readonly json?: boolean;
}

interface ExportFlags extends HistoryFlags {
  readonly har?: boolean;
  readonly filter?: string;
  readonly output?: string;
}

const FILTER_HELP = "for instance 'method=POST status=5xx path=/hooks/*'; also text, tunnel and since";
const WEB_ADDR_HELP = "ask the agent whose local API is here";

/** Adds `ggrok requests` to the command line. */
export function addRequests(program: Command, io: Io, setCode: (code: number) => void): void {
  const requests = program
    .command("requests")
    .description("the recorded exchanges of this folder, while an agent runs and after")
    .option("--json", "print JSON, one exchange a line")
    .option("--follow", "go on with what comes, until a signal")
    .option("--filter <filter>", FILTER_HELP)
    .option("--limit <count>", "the newest of them", parseCount, 50)
    .option("--web-addr <address>", WEB_ADDR_HELP)
    .action(async (flags: ListFlags) => setCode(await runList(flags, io)));
  requests
    .command("show")
    .description("one exchange with its bodies")
    .argument("<id>", "as the list, the visitor's error page and X-Request-Id have it")
    .option("--raw", "the bytes as they were on the wire")
    .addOption(new Option("--part <part>", "with --raw: only this one").choices(["request", "response"] as const))
    .addOption(
      new Option("--as <form>", "a command that sends the request again").choices(["curl", "fetch", "httpie"] as const),
    )
    .option("--json", "print JSON")
    .option("--web-addr <address>", WEB_ADDR_HELP)
    .action(async (id, flags: ShowFlags, command) => setCode(await runShow(id, joined(flags, command.parent), io)));
  requests
    .command("export")
    .description("write exchanges as HAR 1.2")
    .option("--har", "the format, which is the only one there is")
    .option("--filter <filter>", FILTER_HELP)
    .option("--output <file>", "a file, readable by you alone, instead of standard output")
    .option("--web-addr <address>", WEB_ADDR_HELP)
    .action(async (flags: ExportFlags, command) => setCode(await runExport(joined(flags, command.parent), io)));
  requests
    .command("import")
    .description("take the entries of a HAR file into the history")
    .argument("<file>", "HAR 1.2, as browsers and the export write it")
    .option("--web-addr <address>", WEB_ADDR_HELP)
    .action(async (file, flags: HistoryFlags, command) =>
      setCode(await runImport(file, joined(flags, command.parent), io)),
    );
}

/** The flags of a command together with those its parent has swallowed, since both know them. */
function joined<T extends object>(flags: T, parent: { opts(): object } | null): T {
  return { ...parent?.opts(), ...flags };
}

async function runList(flags: ListFlags, io: Io): Promise<number> {
  const filter = readFilterFlag(flags.filter);
  const { openHistory } = await import("../history.ts");
  await using history = await openHistory(flags, io);
  const print = (exchange: Summary): void => {
    io.stdout.write(`${flags.json === true ? stringifyForTerminal(exchange) : lineOf(exchange)}\n`);
  };
  // Where the list ends the following begins: nothing is missed in between, and nothing comes twice.
  const sources = await Promise.all(
    history.apis.map(async (api) => ({ api, last: (await listRequests(api, { limit: 1 }))[0]?.seq ?? 0 })),
  );
  const lists = await Promise.all(
    sources.map(({ api, last }) => listRequests(api, { limit: flags.limit, before: last + 1 }, filter)),
  );
  const newest = lists.flat();
  newest.sort((a, b) => (a.start < b.start ? 1 : a.start > b.start ? -1 : b.seq - a.seq));
  for (const exchange of newest.slice(0, flags.limit).reverse()) print(exchange);
  if (flags.follow !== true) return ExitCode.Ok;
  if (!history.isLive) {
    throw new GgrokError("ERR_GGROK_API_NOT_FOUND", {
      message: "no agent runs in this folder: there is nothing to follow",
    });
  }
  await Promise.all(sources.map(({ api, last }) => follow(api, { last, filter, print, stop: io.stop })));
  return ExitCode.Ok;
}

/** Until the agent ends or a signal comes. */
async function follow(...[api, o]: Parameters<typeof followRequests>): Promise<void> {
  try {
    await followRequests(api, o);
  } catch (error) {
    if (!o.stop.aborted && !isEnd(error)) throw error;
  }
}

async function runShow(id: string, flags: ShowFlags, io: Io): Promise<number> {
  if (flags.part !== undefined && flags.raw !== true) throw new UsageError("--part belongs to --raw");
  if ([flags.raw, flags.as, flags.json].filter((flag) => flag !== undefined).length > 1)
    throw new UsageError("--raw, --as and --json: give one of them");
  const { findApi, openHistory } = await import("../history.ts");
  await using history = await openHistory(flags, io);
  const api = await findApi(history, id);
  const path = `${LIST_PATH}/${encodeURIComponent(id)}`;
  if (flags.as !== undefined) {
    io.stdout.write(await asText(api, path, { form: flags.as, isLive: history.isLive }));
    return ExitCode.Ok;
  }
  if (flags.json === true) {
    io.stdout.write(`${stringifyForTerminal(await api.json(z.unknown(), path))}\n`);
    return ExitCode.Ok;
  }
  const exchange = await api.json(exchangeSchema, path);
  const { request, response } = exchange;
  const body = async (side: "request" | "response", size: number, isStored: boolean): Promise<Buffer | undefined> => {
    if (size === 0) return Buffer.alloc(0);
    return isStored ? await api.bytes(`${path}/${side}-body${flags.raw === true ? "" : "?decoded=1"}`) : undefined;
  };
  const requestBody = await body("request", request.body.size, request.body.stored);
  const responseBody = response === null ? undefined : await body("response", response.body.size, response.body.stored);
  if (flags.raw !== true) {
    io.stdout.write(describeExchange(exchange, { request: requestBody, response: responseBody }));
    return ExitCode.Ok;
  }
  if (flags.part !== "response") {
    io.stdout.write(rawHead(`${request.method} ${request.uri} ${request.proto}`, request.header_list));
    io.stdout.write(stored("request", requestBody));
  }
  if (flags.part !== "request" && response !== null) {
    io.stdout.write(rawHead(`${response.proto} ${response.status}`, response.header_list));
    io.stdout.write(stored("response", responseBody));
  }
  return ExitCode.Ok;
}

/** The command; where the API is gone with this process, a body it cannot carry has to be saved first. */
async function asText(api: ApiClient, path: string, o: { form: string; isLive: boolean }): Promise<string> {
  return (await api.bytes(`${path}/${o.form}${o.isLive ? "" : "?body=file"}`)).toString("latin1");
}

async function runExport(flags: ExportFlags, io: Io): Promise<number> {
  const query = readFilterFlag(flags.filter);
  const { openHistory } = await import("../history.ts");
  await using history = await openHistory(flags, io);
  const [first, ...others] = history.apis;
  if (first === undefined) return ExitCode.Unexpected;
  const path = `/api/requests/har?${query}`;
  const output = flags.output === undefined ? undefined : resolve(io.cwd, flags.output);
  const write = (source: Readable): Promise<void> =>
    output === undefined
      ? pipeline(source, io.stdout, { end: false })
      : pipeline(source, createWriteStream("", { fd: openPrivate(output) }));
  if (others.length === 0) {
    await write(await first.download(path));
  } else {
    const hars = await Promise.all(history.apis.map((api) => api.bytes(path)));
    await write(Readable.from([joinHars(hars)]));
  }
  return ExitCode.Ok;
}

/** Opens a file for writing that its owner alone can read, if it was there before too. */
function openPrivate(path: string): number {
  const file = parseFlag("--output", () => openSync(path, "w", 0o600));
  fchmodSync(file, 0o600);
  return file;
}

async function runImport(file: string, flags: HistoryFlags, io: Io): Promise<number> {
  const har = parseFlag("file", () => readFileSync(resolve(io.cwd, file), "utf8"));
  const { openHistory } = await import("../history.ts");
  await using history = await openHistory(flags, io);
  const [api] = history.apis;
  if (api === undefined) return ExitCode.Unexpected;
  const { imported, skipped } = await api.json(importSchema, "/api/requests/har", { method: "POST", body: har });
  io.stdout.write(`${imported} imported\n`);
  for (const { index, reason } of skipped)
    io.stderr.write(`ggrok: entry ${index} was left out: ${escapeForTerminal(reason)}\n`);
  return skipped.length === 0 ? ExitCode.Ok : ExitCode.Unexpected;
}

function readFilterFlag(text: string | undefined): URLSearchParams {
  const filter = text === undefined ? {} : parseFlag("--filter", () => parseFilterText(text));
  return new URLSearchParams(Object.entries(filter).map(([name, value]): [string, string] => [name, String(value)]));
}

function joinHars(hars: readonly Buffer[]): Buffer {
  const schema = z.looseObject({ log: z.looseObject({ entries: z.array(z.unknown()) }) });
  const [first, ...others] = hars.map((har) => schema.parse(JSON.parse(har.toString("utf8"))));
  const entries = [first, ...others].flatMap((har) => har?.log.entries ?? []);
  return Buffer.from(`${JSON.stringify({ ...first, log: { ...first?.log, entries } })}\n`);
}

function stored(side: string, body: Buffer | undefined): Buffer {
  if (body === undefined)
    throw new GgrokError("ERR_GGROK_API_NOT_FOUND", { message: `the ${side}'s body is not stored` });
  return body;
}

function parseCount(text: string): number {
  if (!/^\d{1,5}$/.test(text) || Number(text) < 1 || Number(text) > PAGE_SIZE)
    throw new InvalidArgumentError(`a number from 1 to ${PAGE_SIZE}.`);
  return Number(text);
}

/** The agent has ended, and the connection with it. */
function isEnd(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return code === "ECONNRESET" || code === "ECONNREFUSED" || code === "ERR_STREAM_PREMATURE_CLOSE";
}
