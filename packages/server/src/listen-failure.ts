/** Why the relay cannot listen and what to do about it, for whoever started it; undefined for every other failure. */
export function describeListenFailure(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code, syscall, address, port, hostname } = error as Partial<ListenError>;
  if (syscall === "getaddrinfo")
    return `--bind: the name ${String(hostname)} has no address (${String(code)})\nGive an address of this machine, or leave --bind out.`;
  if (syscall !== "listen" || code === undefined) return undefined;
  const place = port === undefined ? String(address) : `${String(address)} port ${String(port)}`;
  return `cannot listen on ${place} (${code})\n${NEXT_STEPS[code] ?? "Choose another --port or --bind."}`;
}

interface ListenError {
  readonly code: string;
  readonly syscall: string;
  readonly address: string;
  readonly port: number;
  readonly hostname: string;
}

const NEXT_STEPS: Readonly<Record<string, string>> = {
  EADDRINUSE: "Another program listens there: end it, or choose another port with --port; 0 picks a free one.",
  EACCES: "This port needs rights that the relay does not have: choose one above 1023 with --port.",
  EADDRNOTAVAIL: "This machine does not have that address: give one of its own with --bind, or leave --bind out.",
};
