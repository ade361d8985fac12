import type { HistoryQuota } from "../config/inspector-settings.ts";
import type { ListenAddress } from "../config/values.ts";
import type { OpenTap } from "../forward/exchange-tap.ts";
import type { Forwarder } from "../forward/forwarder.ts";
import type { InspectorSource } from "./agent-routes.ts";
import { writeAgentState } from "./agent-state.ts";
import type { Route } from "./api-route.ts";
import type { ExchangeStore } from "./exchange-store.ts";
import { openStore, storeKeys } from "./open-store.ts";
import { loadPage } from "./page.ts";
import { Recorder, type VerifierOf } from "./recorder.ts";
import { createReplayer, type SignReplay } from "./replay.ts";
import { type Inspector, startInspector } from "./server.ts";
import { createToolRoutes } from "./tool-routes.ts";

/** What is recorded, where, and how. */
export interface InspectionOptions {
  readonly stateDir: string;
  /** The project folder under its real name. */
  readonly folder: string;
  /** False: nothing is recorded and nothing opened. */
  readonly isRecording: boolean;
  /** Names whose values are not written. */
  readonly redact?: readonly string[];
  readonly quota?: HistoryQuota;
  readonly verifierOf?: VerifierOf;
  /** Public URL of a tunnel, once it has one. */
  readonly urlOf: (tunnel: string) => string | undefined;
  /** Hears in one line what the user should know. */
  readonly onNotice: (text: string) => void;
}

/** The ways to the apps, for what is sent again. */
export interface ReplayWays {
  /** Undefined: no such tunnel, or one without HTTP. */
  forwarderOf(tunnel: string): Forwarder | undefined;
  /** Signs anew what is sent again. */
  readonly sign?: SignReplay;
}

/** Records the exchanges of an agent and shows them on its local API. */
export class Inspection {
  readonly store: ExchangeStore | undefined;
  readonly #recorder: Recorder | undefined;
  readonly #options: InspectionOptions;
  readonly #key: string;
  #inspector: Inspector | undefined;
  #removeState: (() => void) | undefined;

  private constructor(options: InspectionOptions, key: string, store: ExchangeStore | undefined) {
    this.#options = options;
    this.#key = key;
    this.store = store;
    const { redact, quota, verifierOf, urlOf } = options;
    this.#recorder =
      store === undefined
        ? undefined
        : new Recorder({
            store,
            urlOf,
            ...(redact !== undefined && { redact }),
            ...(quota?.bodyBytesMax !== undefined && { bodyBytesMax: quota.bodyBytesMax }),
            ...(verifierOf !== undefined && { verifierOf }),
          });
  }

  /** Opens the history of the folder. */
  static async open(options: InspectionOptions): Promise<Inspection> {
    const { stateDir, folder, isRecording, quota, onNotice } = options;
    if (!isRecording) return new Inspection(options, `${storeKeys(folder)[0] ?? ""}-off-${process.pid}`, undefined);
    const { store, key } = await openStore({ stateDir, folder, ...(quota !== undefined && { quota }), onNotice });
    // In memory the name is nobody's: two such agents must not write one state file.
    return new Inspection(options, store.kind === "memory" ? `${key}-memory-${process.pid}` : key, store);
  }

  /** What listens to the exchanges of a tunnel; undefined when nothing is recorded. */
  openTap(tunnel: string): OpenTap | undefined {
    return this.#recorder?.openTap(tunnel);
  }

  /** Starts the local API and says where it is, for programs of this user. */
  async listen(address: ListenAddress, source: InspectorSource & ReplayWays): Promise<Inspector> {
    const { store } = this;
    const inspector = await startInspector({
      address,
      source,
      loadPage,
      ...(store !== undefined && { store, routes: this.#createTools(store, source) }),
    });
    this.#inspector = inspector;
    this.#removeState = writeAgentState(this.#options.stateDir, this.#key, {
      url: inspector.origin,
      token: inspector.token,
      pid: process.pid,
      folder: this.#options.folder,
    });
    return inspector;
  }

  #createTools(store: ExchangeStore, source: InspectorSource & ReplayWays): Route[] {
    const replayer = createReplayer({
      store,
      tunnels: () => source.tunnels().map(({ name }) => name),
      forwarderOf: (tunnel) => source.forwarderOf(tunnel),
      openTap: (tunnel) => this.openTap(tunnel),
      markReplay: (id, originalId) => this.#recorder?.expectReplay(id, originalId),
      ...(source.sign !== undefined && { sign: source.sign }),
    });
    return createToolRoutes({ store, replayer, version: source.version });
  }

  /** Writes what waits and lets go of everything. The tunnels have ended before. */
  async close(): Promise<void> {
    this.#removeState?.();
    await this.#inspector?.close();
    this.#recorder?.close();
    this.store?.close();
  }
}
