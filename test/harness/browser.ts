import { type Browser, chromium } from "playwright-core";

/**
 * Starts Debian's Chromium, which calls nobody of its own accord.
 *
 * @param hosts names that are this machine, as `*.example.test`
 */
export function launchBrowser(hosts?: string): Promise<Browser> {
  return chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      ...(hosts === undefined ? [] : [`--host-resolver-rules=MAP ${hosts} 127.0.0.1`]),
    ],
  });
}
