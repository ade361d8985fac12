import { type Stats, unwatchFile, watchFile } from "node:fs";
import type { RunningAgent } from "../compose.ts";
import { isTrustedProject, sensitiveSettings } from "../config/project-trust.ts";
import type { ConfigLayer, Layers } from "../config/settings.ts";
import type { RunningTunnel } from "../running-tunnel.ts";
import { type Context, type RelayFlags, reloadLayers } from "./context.ts";
import { isBoundAlike, type PlannedEndpoint, planEndpoints } from "./endpoint-plan.ts";
import type { Io } from "./io.ts";

/** How often the files are looked at, milliseconds. Looked at, not watched: that sees every way of replacing a file. */
const LOOK_MS = 500;

/** What following a configuration needs. */
export interface FollowOptions {
  readonly running: RunningAgent;
  readonly onNotice: (text: string) => void;
  /** Names that were asked for; undefined: all there are. */
  readonly wanted: ReadonlySet<string> | undefined;
  /** What runs now, as the file has it. */
  readonly chosen: readonly PlannedEndpoint[];
  readonly layer: ConfigLayer;
  readonly context: Context;
  readonly flags: RelayFlags;
  readonly io: Io;
}

/**
 * Reads the configuration again when a file changes and on SIGHUP. Only tunnels that changed are touched; a file with a mistake
 * changes nothing. Returns what stops it.
 */
export function followConfig(options: FollowOptions): () => void {
  const follower = new Follower(options);
  const { project, user } = options.context.layers;
  const paths = [project?.path, user?.path].filter((path) => path !== undefined);
  const onLook = (now: Stats, before: Stats): void => {
    // A file that is gone for a moment is about to be replaced.
    const isSame = now.mtimeMs === before.mtimeMs && now.ino === before.ino && now.size === before.size;
    if (now.ino !== 0 && !isSame) follower.read();
  };
  for (const path of paths) watchFile(path, { interval: LOOK_MS, persistent: false }, onLook);
  const release = options.io.onHangup(() => follower.read());
  return () => {
    for (const path of paths) unwatchFile(path, onLook);
    release();
  };
}

class Follower {
  readonly #o: FollowOptions;
  readonly #planned = new Map<string, PlannedEndpoint>();
  readonly #tunnels = new Map<string, RunningTunnel>();
  #shared: string;

  constructor(options: FollowOptions) {
    this.#o = options;
    for (const one of options.chosen) this.#planned.set(one.plan.name, one);
    for (const tunnel of options.running.tunnels) this.#tunnels.set(tunnel.plan.name, tunnel);
    this.#shared = sharedSettings(options.context.layers);
  }

  /** Reads the files and brings the tunnels in line; a mistake is said and changes nothing. */
  read(): void {
    const { context, flags, io, layer, onNotice, wanted } = this.#o;
    try {
      const layers = reloadLayers(context, flags, io);
      const isProject = layer === context.layers.project;
      const fresh = isProject ? layers.project : layers.user;
      if (fresh === undefined) return;
      if (isProject) refuseUnconfirmed(fresh, context, io);
      const planned = planEndpoints(fresh, io.env).filter(({ plan }) => wanted?.has(plan.name) !== false);
      const done = this.#apply(planned);
      const shared = sharedSettings(layers);
      if (shared !== this.#shared) done.push("relay, token, proxy, ca and agent count from the next start on");
      this.#shared = shared;
      if (done.length > 0) onNotice(`${fresh.path} was read again: ${done.join("; ")}`);
    } catch (error) {
      onNotice(`the tunnels stay as they are: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  #apply(planned: readonly PlannedEndpoint[]): string[] {
    const { running } = this.#o;
    const done: string[] = [];
    const names = new Set(planned.map(({ plan }) => plan.name));
    for (const [name, tunnel] of [...this.#tunnels]) {
      if (names.has(name)) continue;
      tunnel.remove();
      this.#tunnels.delete(name);
      this.#planned.delete(name);
      done.push(`${name} removed`);
    }
    for (const one of planned) {
      const { name } = one.plan;
      const before = this.#planned.get(name);
      const tunnel = this.#tunnels.get(name);
      const isThere = before !== undefined && tunnel?.isKept === true;
      // One that was lost is asked for again only when its entry has changed: what is held by someone else stays theirs.
      if (before !== undefined && JSON.stringify(before.endpoint) === JSON.stringify(one.endpoint)) continue;
      this.#planned.set(name, one);
      if (isThere && isBoundAlike(before, one)) {
        tunnel.redirect(one.plan);
        done.push(`${name} leads to ${one.plan.targetLabel}`);
        continue;
      }
      tunnel?.remove();
      this.#tunnels.set(name, running.add(one.plan));
      done.push(`${name} ${before === undefined ? "added" : "changed"}`);
    }
    return done;
  }
}

function refuseUnconfirmed(project: ConfigLayer, context: Context, io: Io): void {
  const settings = sensitiveSettings(project.config);
  if (settings.length === 0 || isTrustedProject(context.paths.stateDir, io.cwd, settings)) return;
  throw new Error(`${project.path} was not confirmed with what it says now: start ggrok anew`);
}

/** Settings that belong to the session and not to a tunnel. */
function sharedSettings({ project, user }: Layers): string {
  return JSON.stringify(
    [project, user].map((layer) => {
      const { endpoints: _endpoints, ...shared } = layer?.config ?? {};
      return shared;
    }),
  );
}
