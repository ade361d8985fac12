import { GgrokError } from "@ggrok/protocol";
import { z } from "zod";
import { canonicalFolder } from "../agent/identity.ts";
import { chooseHistoryQuota } from "../config/inspector-settings.ts";
import { type ListenAddress, parseListenAddress } from "../config/values.ts";
import { readAgentStates } from "../inspector/agent-state.ts";
import type { ExchangeStore } from "../inspector/exchange-store.ts";
import { openStoredHistory } from "../inspector/open-store.ts";
import { Recorder } from "../inspector/recorder.ts";
import { createReplayer } from "../inspector/replay.ts";
import { type Inspector, startInspector } from "../inspector/server.ts";
import { createToolRoutes } from "../inspector/tool-routes.ts";
import { CLIENT_VERSION } from "../version.ts";
import { ApiClient } from "./api-client.ts";
import { loadContext, locateConfig } from "./context.ts";
import { escapeForTerminal } from "./escape.ts";
import { parseFlag } from "./exit-codes.ts";
import type { Io } from "./io.ts";

/** How long another command of this folder may have the history. */
const HELD_MS = 3_000;

/** Flags that say whose exchanges are meant. */
export interface HistoryFlags {
  readonly webAddr?: string;
  readonly config?: string;
}

/** The recorded exchanges of a folder: of the agents that run there, or what was stored when none does. */
export interface History extends AsyncDisposable {
  /** Never empty. */
  readonly apis: readonly ApiClient[];
  /** An agent is there. */
  readonly isLive: boolean;
}

const foundSchema = z.object({ id: z.string() });

/**
 * Finds the exchanges of this folder. Where no agent runs, its stored history is served to this process alone, so that every
 * command asks in one and the same way.
 *
 * @throws GgrokError when there is neither an agent nor a history
 */
export async function openHistory(flags: HistoryFlags, io: Io): Promise<History> {
  const { webAddr } = flags;
  const { stateDir } = locateConfig(flags, io).paths;
  const notice = (text: string): void => void io.stderr.write(`ggrok: ${escapeForTerminal(text)}\n`);
  const folder = canonicalFolder(io.cwd);
  const agents = readAgentStates(stateDir).filter(({ pid }) => isAlive(pid));
  if (webAddr !== undefined) {
    const url = urlOf(parseFlag("--web-addr", () => parseListenAddress(webAddr)));
    return live([new ApiClient(url, agents.find((agent) => agent.url === url)?.token)]);
  }
  const here = agents.filter((agent) => agent.folder === folder);
  if (here.length > 0) return live(here.map(({ url, token }) => new ApiClient(url, token)));
  const { stores, held } = await openStoredHistory({
    stateDir,
    folder,
    quota: chooseHistoryQuota(loadContext(flags, io).layers),
    heldMs: HELD_MS,
    onNotice: notice,
  });
  if (stores.length > 0) return await serveStored(stores);
  if (held > 0) {
    throw new GgrokError("ERR_GGROK_API_NOT_FOUND", {
      message:
        "an agent records in this folder, and has no local API to ask (--web-addr false): its exchanges can be read here when it has ended",
    });
  }
  const [only] = agents;
  if (only === undefined || agents.length > 1) {
    throw new GgrokError("ERR_GGROK_API_NOT_FOUND", {
      message:
        only === undefined
          ? `no agent runs, and nothing is recorded of ${folder}`
          : `nothing is recorded of ${folder}, and several agents run: change to the folder of one, or name it with --web-addr`,
    });
  }
  notice(`these are the exchanges of ${only.folder}`);
  return live([new ApiClient(only.url, only.token)]);
}

/** The one of several that knows an exchange. @throws GgrokError when none does */
export async function findApi(history: History, id: string): Promise<ApiClient> {
  let failure: unknown;
  for (const api of history.apis) {
    try {
      await api.json(foundSchema, `/api/requests/http/${encodeURIComponent(id)}`);
      return api;
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}

function live(apis: readonly ApiClient[]): History {
  return { apis, isLive: true, [Symbol.asyncDispose]: async () => {} };
}

function urlOf({ host, port }: ListenAddress): string {
  return `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
}

async function serveStored(stores: readonly ExchangeStore[]): Promise<History> {
  const served = await Promise.all(stores.map(serveStore));
  return {
    apis: served.map(({ inspector }) => new ApiClient(inspector.origin, inspector.token)),
    isLive: false,
    async [Symbol.asyncDispose]() {
      for (const { inspector, recorder, store } of served) {
        await inspector.close();
        recorder.close();
        store.close();
      }
    },
  };
}

async function serveStore(
  store: ExchangeStore,
): Promise<{ store: ExchangeStore; recorder: Recorder; inspector: Inspector }> {
  // What is sent from here to another app is recorded too.
  const recorder = new Recorder({ store, urlOf: () => undefined });
  const replayer = createReplayer({
    store,
    tunnels: () => [],
    forwarderOf: () => undefined,
    openTap: (tunnel) => recorder.openTap(tunnel),
    markReplay: (id, originalId) => recorder.expectReplay(id, originalId),
  });
  const inspector = await startInspector({
    address: { host: "127.0.0.1", port: 0 },
    source: {
      version: CLIENT_VERSION,
      relay: "",
      isOnline: () => false,
      phase: () => "offline",
      latencyMs: () => undefined,
      tunnels: () => [],
    },
    store,
    routes: createToolRoutes({ store, replayer, version: CLIENT_VERSION }),
  });
  return { store, recorder, inspector };
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}
