import { choose, type Layers } from "./settings.ts";
import { type ListenAddress, parseListenAddress, parseSize } from "./values.ts";

/** Where the local API listens when nobody says. */
export const DEFAULT_WEB_ADDRESS = "127.0.0.1:4040";

/** How much of the exchanges is kept; what is missing is as the store has it. */
export interface HistoryQuota {
  readonly bytesMax?: number;
  readonly exchangesMax?: number;
  readonly bodyBytesMax?: number;
}

/** Where the local API listens by the configuration files; false: nowhere. */
export function chooseWebAddress(layers: Layers): ListenAddress | false {
  const value = choose(undefined, undefined, layers, (config) => config.agent?.web_addr)?.value;
  return value === false ? false : parseListenAddress(String(value ?? DEFAULT_WEB_ADDRESS));
}

/** How much is kept by the configuration files. */
export function chooseHistoryQuota(layers: Layers): HistoryQuota {
  const pick = <T>(read: Parameters<typeof choose<T>>[3]): T | undefined =>
    choose(undefined, undefined, layers, read)?.value;
  const size = pick((config) => config.agent?.history?.size);
  const bodySize = pick((config) => config.agent?.history?.body_size);
  const exchanges = pick((config) => config.agent?.history?.exchanges);
  return {
    ...(size !== undefined && { bytesMax: parseSize(size) }),
    ...(exchanges !== undefined && { exchangesMax: exchanges }),
    ...(bodySize !== undefined && { bodyBytesMax: parseSize(bodySize) }),
  };
}
