/**
 * Every bound of the relay that is not on the wire (those are the protocol's `LIMITS`). A value names its unit; the
 * comment says why it is what it is. `docs/limits.md` lists them.
 */
export const RELAY_LIMITS = {
  /** Largest request head a visitor may send. 32 KiB fits under all escaping into one OPEN frame; more is 431. */
  requestHeadBytes: 32_768,
  /** Hosts of which the relay remembers how they read: more than most relays serve, half a megabyte at worst. */
  hostsRemembered: 1_024,
  /** A head must be whole after this time. With the check interval a slow head is cut within 15 s. */
  headTimeoutMs: 12_000,
  /** How often Node looks for heads that are late. */
  connectionsCheckIntervalMs: 2_000,
  /** How often the files of `--tls-cert` and `--tls-key` are looked at. */
  certificateCheckMs: 1_000,
  /** An idle visitor connection is kept this long; platforms with their own pool need more (see `config/platform.ts`). */
  keepAliveMs: 75_000,
  /** Silence after which the kernel asks whether a visitor's host is still there. Covers idle WebSockets and event streams. */
  tcpKeepAliveMs: 60_000,
  /** Connections of all kinds at once. Beyond it new ones are closed at accept, so that files are left for the log. */
  maxConnections: 65_536,
  /** The same for one raw public port of a TCP tunnel: what one session may have open. */
  maxConnectionsPerPort: 16_384,
  /** Connections one address may begin a second, trusted front ends apart. An office of hundreds stays below it. */
  connectionsPerSecond: 200,
  /** Connections it may begin at once after a quiet time. */
  connectionBurst: 2_000,
  /** Requests a second of one client address behind trusted front ends, whose connections say nothing about visitors. */
  forwardedRequestsPerSecond: 1_000,
  /** Requests it may send at once after a quiet time: a development server's page asks for thousands of modules. */
  forwardedRequestBurst: 10_000,
  /** Addresses these rates are counted for; those seen longest ago are forgotten first. */
  ratedAddresses: 16_384,
  /** Agents admitted a second. 500 agents that lost the relay are back within 5 s and their handshakes do not starve visitors. */
  handshakesPerSecond: 100,
  /** Handshakes admitted at once after a quiet time. */
  handshakeBurst: 200,
  /** Connections that are upgraded but have not said hello yet. Each holds a socket for 5 s at most. */
  maxGreetings: 1_024,
  /** Sessions of one principal, lost ones included. */
  maxSessionsPerPrincipal: 4_096,
  /** Sessions of the relay, lost ones included. */
  maxSessions: 16_384,
  /** Endpoints one session may hold. */
  maxEndpointsPerSession: 256,
  /** Binds of one session that wait for another agent's PING. */
  maxPendingBinds: 32,
  /** How long a holder has to answer a PING before another agent of the same token takes its name. */
  holderPingTimeoutMs: 2_000,
  /** How long a name belongs to its owner after its last use, where there is a store: longer than most holidays. */
  reservationMs: 2_592_000_000,
  /** How long a name of the relay's choice is given to nobody else. A day, and the hour its last use may be noted late. */
  generatedNameRestMs: 90_000_000,
  /** Uses of a reserved name are noted this often; each note is a synced write. */
  reservationTouchMs: 3_600_000,
  /** Names one principal may have reserved, those of the relay's choice included. */
  maxReservationsPerPrincipal: 4_096,
  /** Names of the relay's choice that are remembered; the oldest are forgotten first. */
  maxGeneratedNames: 100_000,
  /** Open exchanges of a session that the operator ends have this long. */
  disconnectMs: 5_000,
  /** How often the relay looks whether somebody else has changed the store: an operator's command is noticed within a second. */
  storeCheckMs: 500,
  /** How often the relay writes down when tokens and names were used, and forgets what has run out. */
  storeUpkeepMs: 60_000,
  /** Changes of owner between living agents within `takeoverPeriodMs` before the holder is frozen. */
  maxTakeovers: 3,
  /** The period of `maxTakeovers`, and how long the freeze lasts. */
  takeoverPeriodMs: 60_000,
  /** A claim further in the future than this is cut: a clock that ran ahead cannot lock a name for days. */
  claimAheadMs: 3_600_000,
  /** Requests that wait for an agent, over all endpoints. Each holds a socket and a head of at most 32 KiB. */
  maxParked: 4_096,
  /** Requests that wait for one endpoint, so that one absent app does not use up the places of the others. */
  maxParkedPerEndpoint: 1_024,
  /** Heads and bodies of all parked requests together. */
  maxParkedBytes: 67_108_864,
  /** Share of the process's memory that unconsumed payload of all sessions may hold. */
  payloadMemoryShare: 0.25,
  /** How often the relay looks whether it is overloaded. */
  overloadCheckMs: 100,
  /** Checks in a row that must be late, or short of memory, before new work is refused; as many calm ones end it. */
  overloadChecks: 3,
  /** A check that comes so much later than it should is late: visitors feel half a second. */
  overloadLagMs: 500,
  /** Share of the heap, or of the memory the process may use, that may be in use before new work is refused. */
  overloadMemoryShare: 0.85,
  /** Share below which new work is taken again. */
  overloadMemoryClearShare: 0.8,
  /** Addresses a tunnel's gate keeps count of, for `--rate-limit` and for wrong passwords; the oldest are forgotten first. */
  visitorAddresses: 10_000,
  /** Wrong passwords of one address in a minute before it has to wait: enough for fingers, too few for guessing. */
  loginFailuresPerMinute: 10,
  /** Wrong passwords a second at one tunnel from all addresses. Each costs the relay 5 to 10 ms. */
  loginFailuresPerSecond: 20,
  /** Passwords a tunnel's gate remembers, right and wrong, so that only the first request with one costs a hash. */
  knownLogins: 1_024,
  /** Agents told to leave per second while draining; the same rate at which the next relay admits them. */
  drainsPerSecond: 100,
  /** After the drain, time for last answers and closing handshakes to leave. */
  goodbyeMs: 1_000,
  /** Longest request target, in bytes: what one OPEN frame admits. Longer is 414. */
  targetBytes: 16_384,
  /** Fields of one request. With the relay's own they fit into one OPEN frame; more is 431. */
  requestFields: 980,
  /** Body bytes of one exchange kept until its agent answers, so that it can be sent again when its session breaks. */
  replayBytes: 65_536,
  /** The same over all exchanges; beyond it new bodies are not kept, and such an exchange fails with its session. */
  replayTotalBytes: 16_777_216,
  /** How often an exchange is sent again that may have reached the app (safe method, no body, nothing answered). */
  safeRetries: 2,
  /** How often an exchange is tried that certainly did not reach an app. Bounds agents that refuse everything. */
  maxAttempts: 8,
  /** A visitor's body that the relay is ready to take moves on by `bodyStallBytes` in this time until the answer begins. */
  bodyStallMs: 30_000,
  /** Progress a body must make in `bodyStallMs`. */
  bodyStallBytes: 512,
  /** A visitor who takes no byte of a waiting answer for this long is cut off. Long, since people pause downloads. */
  readerStallMs: 300_000,
  /** How often the two stall limits are looked at, and whether a visitor who is not read is still there. */
  stallCheckIntervalMs: 2_000,
  /** After an early answer the rest of the upload is read and dropped this long, so that the visitor sees the answer. */
  lingerMs: 30_000,
  /** After an answer that closes the connection, time for the visitor to take it before the socket goes. */
  closeLingerMs: 2_000,
  /** A drain takes connections this long before it gives up the port, and leaves idle ones open this long after. */
  drainLingerMs: 100,
  /** Early bytes of an upgrade kept until the app agrees; then the visitor's socket is paused. */
  earlyBytes: 65_536,
  /** Passes of one request through this relay before it is a circle. */
  maxOwnPasses: 3,
  /** Passes of one request through relays of any name before it is a circle. */
  maxRelays: 10,
} as const;
