import { connect, type IpcNetConnectOpts, type TcpNetConnectOpts } from "node:net";

/** How often an app that does not listen is asked again, milliseconds. */
const POLL_MS = 500;
const CONNECT_TIMEOUT_MS = 2_000;

/** Where the app should listen. */
export interface AppAddress {
  readonly hostname: string;
  readonly port: number;
  /** `localhost`: either address family will do. */
  readonly isLocalhostName: boolean;
  /** The app listens on this Unix socket instead. */
  readonly socketPath?: string;
  /** Files of a folder: there is no app that could be missing. */
  readonly folder?: string;
}

/** True when something accepts a connection there. Nothing is sent. */
async function isListening(address: AppAddress): Promise<boolean> {
  if (address.folder !== undefined) return true;
  if (address.socketPath !== undefined) return await canConnect({ path: address.socketPath });
  const hosts = address.isLocalhostName ? ["127.0.0.1", "::1"] : [address.hostname];
  const outcomes = await Promise.all(hosts.map((host) => canConnect({ host, port: address.port })));
  return outcomes.includes(true);
}

/** Waits until something accepts a connection; rejects with the signal's reason. */
export async function waitUntilListening(address: AppAddress, signal: AbortSignal): Promise<void> {
  while (!(await isListening(address))) {
    signal.throwIfAborted();
    await pause(POLL_MS, signal);
  }
  signal.throwIfAborted();
}

/** Says whenever an app of a tunnel begins or ceases to listen, as far as anyone noticed. */
export class AppWatch<Address extends AppAddress = AppAddress> {
  readonly #addresses: readonly Address[];
  readonly #onChange: (isListening: boolean, address: Address) => void;
  readonly #stop = new AbortController();
  readonly #polled = new Set<Address>();
  readonly #missing = new Set<Address>();

  constructor(addresses: readonly Address[], onChange: (isListening: boolean, address: Address) => void) {
    this.#addresses = addresses;
    this.#onChange = onChange;
  }

  /** False while nothing listens at one of the places. */
  get isListening(): boolean {
    return this.#missing.size === 0;
  }

  /** Looks now, and goes on looking as long as nothing listens. Call when a connection was refused. */
  check(): void {
    for (const address of this.#addresses) {
      if (this.#polled.has(address) || this.#stop.signal.aborted) continue;
      this.#polled.add(address);
      void this.#poll(address).finally(() => this.#polled.delete(address));
    }
  }

  stop(): void {
    this.#stop.abort();
  }

  async #poll(address: Address): Promise<void> {
    if (await isListening(address)) {
      this.#set(address, true);
      return;
    }
    this.#set(address, false);
    try {
      await waitUntilListening(address, this.#stop.signal);
      this.#set(address, true);
    } catch {
      // Stopped.
    }
  }

  #set(address: Address, isThere: boolean): void {
    if (this.#missing.has(address) !== isThere || this.#stop.signal.aborted) return;
    if (isThere) this.#missing.delete(address);
    else this.#missing.add(address);
    this.#onChange(isThere, address);
  }
}

function canConnect(place: TcpNetConnectOpts | IpcNetConnectOpts): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ ...place, timeout: CONNECT_TIMEOUT_MS });
    const settle = (outcome: boolean): void => {
      resolve(outcome);
      socket.destroy();
    };
    socket.once("connect", () => settle(true));
    socket.once("timeout", () => settle(false));
    socket.on("error", () => settle(false));
  });
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", abort);
      resolve();
    }, ms);
    signal.addEventListener("abort", abort, { once: true });
  });
}
