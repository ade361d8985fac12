import { GgrokError } from "@ggrok/protocol";
import type { RelayConfig } from "../config/config.ts";
import { Certificates } from "../connection/certificates.ts";
import type { Logger } from "../observability/logger.ts";
import { MemoryStore } from "../store/memory.ts";
import { SqliteStore } from "../store/sqlite.ts";
import type { Store } from "../store/store.ts";

/**
 * The store of a data directory, in memory without one.
 *
 * @throws GgrokError ERR_GGROK_CONFIG_INVALID when it cannot be used
 */
export function openStore({ dataDir }: Pick<RelayConfig, "dataDir">): Store {
  return dataDir === undefined ? new MemoryStore() : openAs("data-dir", () => new SqliteStore(dataDir));
}

/**
 * The relay's own certificates; undefined leaves TLS to a front end.
 *
 * @throws GgrokError ERR_GGROK_CONFIG_INVALID when a file cannot be used
 */
export function openCertificates({ tls: files }: Pick<RelayConfig, "tls">, logger: Logger): Certificates | undefined {
  if (files.length === 0) return undefined;
  const event = "relay.certificates";
  const onReload = (subjects: readonly string[]): void =>
    logger.info({ event, subjects }, "other certificates are in use now");
  const onFailure = (error: unknown): void =>
    logger.error({ event, err: error }, "the certificates before stay in use");
  return openAs("tls-cert", () => new Certificates({ files, onReload, onFailure }));
}

/** What a setting names and cannot be used is a wrong setting. */
function openAs<T>(setting: string, open: () => T): T {
  try {
    return open();
  } catch (error) {
    const message = `${setting}: ${error instanceof Error ? error.message : String(error)}`;
    throw new GgrokError("ERR_GGROK_CONFIG_INVALID", { message, cause: error });
  }
}
