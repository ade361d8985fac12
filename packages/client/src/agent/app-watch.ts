import { connect } from "node:net";

/** How often an app that does not listen is asked again, milliseconds. */
const POLL_MS = 500;
const CONNECT_TIMEOUT_MS = 2_000;

/** Where the app should listen. */
export interface AppAddress {
  readonly hostname: string;
  readonly port: number;
  /** `localhost`: either address family will do. */
  readonly isLocalhostName: boolean;
}

/** True when something accepts a connection there. Nothing is sent. */
async function isListening(address: AppAddress): Promise<boolean> {
  const hosts = address.isLocalhostName ? ["127.0.0.1", "::1"] : [address.hostname];
  const outcomes = await Promise.all(hosts.map((host) => canConnect(host, address.port)));
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

/** Says whenever the app begins or ceases to listen, as far as anyone noticed. */
export class AppWatch {
  readonly #address: AppAddress;
  readonly #onChange: (isListening: boolean) => void;
  readonly #stop = new AbortController();
  #isPolling = false;
  #isListening = true;

  constructor(address: AppAddress, onChange: (isListening: boolean) => void) {
    this.#address = address;
    this.#onChange = onChange;
  }

  /** False while nothing listens. */
  get isListening(): boolean {
    return this.#isListening;
  }

  /** Looks now, and goes on looking as long as nothing listens. Call when a connection was refused. */
  check(): void {
    if (this.#isPolling || this.#stop.signal.aborted) return;
    this.#isPolling = true;
    void this.#poll().finally(() => {
      this.#isPolling = false;
    });
  }

  stop(): void {
    this.#stop.abort();
  }

  async #poll(): Promise<void> {
    if (await isListening(this.#address)) {
      this.#set(true);
      return;
    }
    this.#set(false);
    try {
      await waitUntilListening(this.#address, this.#stop.signal);
      this.#set(true);
    } catch {
      // Stopped.
    }
  }

  #set(isListening: boolean): void {
    if (this.#isListening === isListening || this.#stop.signal.aborted) return;
    this.#isListening = isListening;
    this.#onChange(isListening);
  }
}

function canConnect(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: CONNECT_TIMEOUT_MS });
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
