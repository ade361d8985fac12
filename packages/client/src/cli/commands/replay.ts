import { type Command, InvalidArgumentError } from "@commander-js/extra-typings";
import { GgrokError } from "@ggrok/protocol";
import { z } from "zod";
import { parseEdits } from "../edit-flags.ts";
import { escapeForTerminal, stringifyForTerminal } from "../escape.ts";
import { ExitCode } from "../exit-codes.ts";
import type { HistoryFlags } from "../history.ts";
import type { Io } from "../io.ts";
import { appendText } from "../visitor-flags.ts";

const replaysSchema = z.object({
  replays: z.array(
    z.looseObject({
      id: z.string(),
      status_code: z.number().optional(),
      error: z.string().optional(),
      msg: z.string().optional(),
      open: z.boolean().optional(),
    }),
  ),
});

interface ReplayFlags extends HistoryFlags {
  readonly edit: readonly string[];
  readonly times?: number;
  readonly to?: string;
  readonly tunnel?: string;
  readonly resign?: boolean;
  readonly json?: boolean;
}

/** Adds `ggrok replay` to the command line. */
export function addReplay(program: Command, io: Io, setCode: (code: number) => void): void {
  program
    .command("replay")
    .description("send a recorded request to the app again, as it was or edited; exit code 1 when one got no answer")
    .argument("<id>", "as `ggrok requests` shows it")
    .option(
      "--edit <k=v>",
      "method=PUT, path=/x, query.NAME=V, header.NAME=V, json.PATH=V, body=TEXT or body=@FILE; repeatable",
      appendText,
      [],
    )
    .option("--times <count>", "how often, one after the other", parseTimes)
    .option("--to <url>", "another app than the tunnel's")
    .option("--tunnel <name>", "the tunnel whose app gets it (default: the one it came through)")
    .option("--resign", "sign it anew, with the secret of the agent's --verify-webhook")
    .option("--json", "print JSON, one replay a line")
    .option("--web-addr <address>", "ask the agent whose local API is here")
    .action(async (id, flags: ReplayFlags) => setCode(await runReplay(id, flags, io)));
}

async function runReplay(id: string, flags: ReplayFlags, io: Io): Promise<number> {
  const edit = parseEdits(flags.edit, io.cwd);
  const { findApi, openHistory } = await import("../history.ts");
  await using history = await openHistory(flags, io);
  const api = await findApi(history, id);
  if (!history.isLive && flags.to === undefined) {
    throw new GgrokError("ERR_GGROK_API_NOT_FOUND", {
      message:
        "no agent runs in this folder, so there is no app to send it to: start the tunnel, or name the app with --to",
    });
  }
  const order = {
    id,
    ...(edit !== undefined && { edit }),
    ...(flags.times !== undefined && { times: flags.times }),
    ...(flags.to !== undefined && { to: flags.to }),
    ...(flags.tunnel !== undefined && { tunnel_name: flags.tunnel }),
    ...(flags.resign === true && { resign: true }),
  };
  const { replays } = await api.json(replaysSchema, "/api/requests/http", { body: JSON.stringify(order) });
  for (const replay of replays) {
    const { status_code, error, msg, open } = replay;
    const result =
      error === undefined ? String(status_code ?? "no answer yet") : `${error}${msg === undefined ? "" : `: ${msg}`}`;
    const line = `${replay.id}  ${result}${open === true && status_code !== undefined ? " (still open)" : ""}`;
    io.stdout.write(`${flags.json === true ? stringifyForTerminal(replay) : escapeForTerminal(line)}\n`);
  }
  const isAnswered = replays.every(({ status_code, error }) => status_code !== undefined && error === undefined);
  return isAnswered ? ExitCode.Ok : ExitCode.Unexpected;
}

function parseTimes(text: string): number {
  if (!/^\d{1,3}$/.test(text) || Number(text) < 1 || Number(text) > 100)
    throw new InvalidArgumentError("a number from 1 to 100.");
  return Number(text);
}
