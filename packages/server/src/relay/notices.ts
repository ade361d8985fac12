import type { RelayConfig } from "../config/config.ts";
import type { Logger } from "../observability/logger.ts";

/** Logs what an operator should know at once: whom the relay takes, where tunnels live, and what is kept. */
export function logNotices(config: RelayConfig, hasAgentTokens: boolean, logger: Logger): void {
  const { allowAnonymous, domain, dataDir } = config;
  const warn = (text: string): void => logger.warn({ event: "relay.notice" }, text);
  if (allowAnonymous) warn("ANONYMOUS AGENTS ARE ALLOWED: everyone who reaches this relay can publish through it");
  else if (!hasAgentTokens) {
    const how = dataDir === undefined ? "set --token" : "make one with `ggrok-relay token create`";
    warn(`no token is configured: agents are taken from this machine only; ${how} to take others`);
  }
  const mode =
    domain === undefined
      ? "single-host mode: an agent that asks for no name gets every host"
      : `wildcard mode: tunnels live at NAME.${domain}`;
  const kept = dataDir === undefined ? "in memory only" : `in ${dataDir}`;
  logger.info({ event: "relay.notice" }, `${mode}; names are kept ${kept}`);
}
