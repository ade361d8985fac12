import type { DialOptions } from "../../agent/dial.ts";
import { splitInvite } from "../../config/invite.ts";
import { parseRelayUrl, type RelayAddress } from "../../config/relay-url.ts";
import { chooseRelay } from "../../config/settings.ts";
import { setConfigValue, storeToken } from "../../config/token-store.ts";
import { configError, resolveSecret } from "../../config/values.ts";
import { CLIENT_VERSION } from "../../version.ts";
import { type Context, loadContext, pickWay, type RelayFlags } from "../context.ts";
import { escapeForTerminal } from "../escape.ts";
import { ExitCode, parseFlag, UsageError } from "../exit-codes.ts";
import { type Io, readAll } from "../io.ts";

const MAX_TOKEN_BYTES = 16_384;

/** What `ggrok login` takes beside the relay. */
export interface LoginFlags extends RelayFlags {
  readonly proxy?: string;
  readonly ca?: string;
}

/** `ggrok login RELAY`: takes the token of an invite link or asks for one, proves it against the relay, stores it. Returns the exit code. */
export async function runLogin(relayText: string | undefined, flags: LoginFlags, io: Io): Promise<number> {
  const context = loadContext(flags, io, { mayBeMissing: true });
  const invite = relayText === undefined ? undefined : splitInvite(relayText);
  if (invite?.token !== undefined && flags.authtoken !== undefined) throw new UsageError("the token is given twice");
  const relay = pickRelay(invite?.relay, flags, context);
  // A link's token is taken as it is: `env:` and `file:` in it would be somebody else's wish.
  const token = invite?.token ?? parseToken(flags.authtoken ?? (await askForToken(relay, io)), io.env);
  // A project file decides nothing here: the token is the user's, and so is the way it takes.
  const { project: _project, ...layers } = context.layers;
  const way = await pickWay({ ...context, layers }, flags, io);
  await proveToken({ relay, token, way, stop: io.stop });
  storeToken(context.configPath, relay.origin, token);
  const said = context.layers.user?.config.relay;
  if (said === undefined) setConfigValue(context.configPath, ["relay"], relay.origin);
  io.stdout.write(`Logged in to ${relay.origin}. The token is stored in ${context.configPath}\n`);
  if (said !== undefined && parseRelayUrl(said, { insecure: true }).origin !== relay.origin) {
    io.stdout.write(
      `Your default relay is still ${escapeForTerminal(said)}; change it with: ggrok config set-relay ${relay.origin}\n`,
    );
  }
  return ExitCode.Ok;
}

/** The relay a token is for. A project file does not decide that. */
export function pickRelay(text: string | undefined, flags: RelayFlags, context: Context): RelayAddress {
  if (text !== undefined && flags.relay !== undefined) throw new UsageError("the relay is given twice");
  const wanted = text ?? flags.relay;
  if (wanted !== undefined) return parseFlag("relay", () => parseRelayUrl(wanted, flags));
  const { project: _project, ...layers } = context.layers;
  const chosen = chooseRelay(layers, flags);
  if (chosen === undefined) throw configError("say which relay: `ggrok login RELAY`, or `--relay RELAY`");
  return chosen.value;
}

/** A token given on the command line or typed in; `env:` and `file:` work too. */
export function parseToken(text: string, env: NodeJS.ProcessEnv): string {
  return resolveSecret(text.trim(), env);
}

async function askForToken(relay: RelayAddress, io: Io): Promise<string> {
  if (!io.stdin.isTTY) {
    const text = await readAll(io.stdin, MAX_TOKEN_BYTES);
    if (text.trim() === "") throw configError("no token: give it with --authtoken, or on standard input");
    return text;
  }
  const { password, isCancel } = await import("@clack/prompts");
  const answer = await password({ message: `Token for ${relay.origin}`, output: io.stderr });
  if (isCancel(answer)) throw configError("no token was given");
  return answer;
}

/** Opens a connection as an agent would and closes it again: the relay refuses a wrong token before the upgrade. */
async function proveToken(o: {
  relay: RelayAddress;
  token: string;
  way: Pick<DialOptions, "proxy" | "ca">;
  stop: AbortSignal;
}): Promise<void> {
  const { relay, token, way } = o;
  const { DialError, dial } = await import("../../agent/dial.ts");
  try {
    const transport = await dial(
      {
        relay,
        token,
        userAgent: `ggrok/${CLIENT_VERSION}`,
        ...way,
      },
      o.stop,
    );
    const closed = new Promise<void>((resolve) => {
      transport.handler = { onMessage() {}, onDrain() {}, onClose: () => resolve() };
    });
    transport.close(1000, "the token works");
    const timer = setTimeout(() => transport.destroy(), 1_000);
    await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, 1_000).unref())]);
    clearTimeout(timer);
  } catch (error) {
    throw error instanceof DialError ? error.error : error;
  }
}
