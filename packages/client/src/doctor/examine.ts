import { arch, platform } from "node:os";
import { GgrokError } from "@ggrok/protocol";
import { readAuthorities } from "../config/authorities.ts";
import type { RelayAddress } from "../config/relay-url.ts";
import type { ListenAddress } from "../config/values.ts";
import type { Target } from "../forward/target.ts";
import { chooseProxy, type RelayProxy } from "../proxy/relay-proxy.ts";
import { CLIENT_VERSION } from "../version.ts";
import { FailureExit, type Finding, failed, fine, HOPS, type Hop, skipped } from "./finding.ts";
import { checkHost, checkInspector, checkLocalPort } from "./local-checks.ts";
import { walkToRelay } from "./relay-walk.ts";
import { checkSession } from "./session-check.ts";

/** What is to be examined. */
export interface Examination {
  /** The relay with the place that named it; missing: nobody named one. */
  readonly relay?: { readonly address: RelayAddress; readonly source: string };
  readonly token?: { readonly value: string; readonly source: string };
  readonly proxy?: string;
  readonly ca?: string;
  readonly env: NodeJS.ProcessEnv;
  readonly target?: Target;
  readonly webAddress: ListenAddress | false;
  readonly now: () => Date;
  readonly signal: AbortSignal;
}

const RELAY_HOPS: readonly Hop[] = HOPS.slice(HOPS.indexOf("dns"), HOPS.indexOf("local-port"));

/** Walks hop by hop; gives exactly one finding for each of {@link HOPS}, in their order. */
export async function* examine(o: Examination): AsyncGenerator<Finding> {
  yield fine("program", `ggrok ${CLIENT_VERSION}, Node ${process.versions.node}, ${platform()} ${arch()}`);
  const setting = readSettings(o);
  yield setting.finding;
  let isBroken = setting.way === undefined;
  let last = -1;
  if (setting.way !== undefined) {
    for await (const finding of walk(setting.way, o)) {
      last = RELAY_HOPS.indexOf(finding.hop);
      isBroken ||= finding.status === "failed";
      yield finding;
    }
  }
  for (const hop of RELAY_HOPS.slice(last + 1)) yield skipped(hop, isBroken ? "not reached" : "not asked");
  yield* examineLocally(o);
}

interface Way {
  readonly relay: RelayAddress;
  readonly proxy: RelayProxy | undefined;
  readonly ca: readonly string[] | undefined;
}

function readSettings(o: Examination): { finding: Finding; way?: Way } {
  if (o.relay === undefined)
    return { finding: failed("configuration", "no relay is set", NO_RELAY_FIX, FailureExit.Config) };
  const { address, source } = o.relay;
  try {
    const proxy = chooseProxy(address, o.proxy, o.env);
    const ca = o.ca === undefined ? undefined : readAuthorities(o.ca);
    const token = o.token === undefined ? "no token" : `token from ${o.token.source}`;
    const bundle = o.ca === undefined ? "" : `, authorities from ${o.ca}`;
    const finding = fine("configuration", `${address.origin} from ${source}, ${token}${bundle}`);
    return { finding, way: { relay: address, proxy, ca } };
  } catch (error) {
    if (!(error instanceof GgrokError)) throw error;
    return { finding: badSetting(error) };
  }
}

const NO_RELAY_FIX =
  "Name one with --relay or GGROK_RELAY, or store one with `ggrok login RELAY`. Without one: `ggrok http PORT --local`.";

function badSetting(error: GgrokError): Finding {
  return failed("configuration", error.message, error.nextStep, FailureExit.Config);
}

async function* walk(way: Way, o: Examination): AsyncGenerator<Finding> {
  const userAgent = `ggrok/${CLIENT_VERSION}`;
  const { relay, proxy, ca } = way;
  let isOpen = true;
  const walked = walkToRelay({
    relay,
    proxy,
    userAgent,
    now: o.now,
    signal: o.signal,
    ...(ca !== undefined && { ca }),
  });
  for await (const finding of walked) {
    isOpen &&= finding.status !== "failed";
    yield finding;
  }
  if (!isOpen) return;
  yield* checkSession(
    {
      relay,
      userAgent,
      ...(o.token !== undefined && { token: o.token.value }),
      ...(o.proxy !== undefined && { proxy: o.proxy }),
      ...(o.ca !== undefined && { ca: o.ca }),
    },
    o.signal,
  );
}

async function* examineLocally(o: Examination): AsyncGenerator<Finding> {
  const { target } = o;
  if (target === undefined) {
    yield skipped("local-port", "say where the app listens: ggrok doctor 3000");
    yield skipped("host-check", "say where the app listens: ggrok doctor 3000");
  } else {
    const port = await checkLocalPort(target);
    yield port;
    const publicHost = `app.${o.relay?.address.hostname ?? "example.com"}`;
    yield port.status === "failed" ? skipped("host-check", "not reached") : await checkHost(target, publicHost);
  }
  yield await checkInspector(o.webAddress);
}
