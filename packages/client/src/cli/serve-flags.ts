import { type ListenAddress, parseListenAddress } from "../config/values.ts";
import type { RelayFlags } from "./context.ts";

/** Flags of every command that runs tunnels. */
export interface ServeFlags extends RelayFlags {
  readonly webAddr?: string;
  readonly inspect?: boolean;
  readonly redact?: readonly string[];
  readonly log?: string;
  readonly logFormat?: "json" | "logfmt" | "term";
  readonly logLevel?: "debug" | "info" | "warn" | "error";
  readonly json?: boolean;
  /** False with `--no-retry`. */
  readonly retry: boolean;
  readonly local?: boolean;
  readonly proxy?: string;
  readonly ca?: string;
}

/** Reads `--web-addr`: where the local API listens, or `false`. */
export function parseWebAddress(text: string): ListenAddress | false {
  return text === "false" ? false : parseListenAddress(text);
}
