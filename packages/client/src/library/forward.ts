import { parseTarget } from "../forward/target.ts";
import type { ForwardOptions, Listener } from "../types.ts";
import { openListener } from "./open-listener.ts";

/**
 * Gives an app that listens somewhere a public URL. Resolves when the relay confirmed it; rejects when trying again
 * cannot help (`error.code`), or at the first failure with `retry: false`.
 */
export async function forward(options: ForwardOptions): Promise<Listener> {
  const target = parseTarget(String(options.addr));
  return await openListener(target, `${target.scheme}://${target.authority}${target.basePath}`, options);
}
