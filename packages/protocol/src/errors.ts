/** One row for each failure that crosses a boundary: everything that is said about it comes from here. */
export interface ErrorRow {
  /** HTTP status when it is answered to a visitor, an agent's upgrade or an API call. */
  readonly status: number;
  /** One plain sentence. */
  readonly message: string;
  /** What the reader can do now. */
  readonly nextStep: string;
  /** Whether the same again may work later. */
  readonly retryable: boolean;
  /** WebSocket close code when it ends a session. */
  readonly closeCode?: number;
  /** Exit code of `ggrok` when it ends the program. */
  readonly exitCode?: number;
}

/** All failures, docs/errors.md. */
export const ERRORS = {
  ERR_GGROK_ENDPOINT_UNKNOWN: {
    status: 404,
    message: "There is no tunnel at this address.",
    nextStep: "Check the address, or start the tunnel with `ggrok http PORT --url NAME`.",
    retryable: false,
  },
  ERR_GGROK_ENDPOINT_OFFLINE: {
    status: 503,
    message: "The tunnel exists, but its agent is away.",
    nextStep: "Try again in a few seconds. If this tunnel is yours, check that `ggrok` is still running.",
    retryable: true,
  },
  ERR_GGROK_SESSION_LOST: {
    status: 502,
    message: "The connection to the agent broke after it had been given this request.",
    nextStep: "The app may or may not have acted on it: check before you send it again.",
    retryable: true,
    closeCode: 4502,
  },
  ERR_GGROK_UPSTREAM_REFUSED: {
    status: 502,
    message: "The tunnel works, but the app behind it accepts no connection.",
    nextStep: "Start the app, or check the port that was given to `ggrok http`.",
    retryable: true,
  },
  ERR_GGROK_UPSTREAM_RESET: {
    status: 502,
    message: "The app closed the connection before it answered.",
    nextStep: "Look at the app's own log for this request.",
    retryable: true,
  },
  ERR_GGROK_UPSTREAM_MALFORMED: {
    status: 502,
    message: "The app's answer is not valid HTTP.",
    nextStep: "Check that the target is an HTTP server, and `https://` if it speaks TLS.",
    retryable: false,
  },
  ERR_GGROK_UPSTREAM_TLS_FAILED: {
    status: 502,
    message: "The agent could not set up TLS with the app.",
    nextStep: "Check the app's certificate, or use an `http://` target.",
    retryable: false,
  },
  ERR_GGROK_UPSTREAM_TIMEOUT: {
    status: 504,
    message: "The app gave no answer within the tunnel's timeout.",
    nextStep: "Look for what the app is waiting for, or raise `--timeout`.",
    retryable: true,
  },
  ERR_GGROK_VISITOR_UNAUTHORIZED: {
    status: 401,
    message: "This tunnel asks for a user name and password.",
    nextStep: "Log in with the credentials the tunnel's owner gave you.",
    retryable: false,
  },
  ERR_GGROK_VISITOR_FORBIDDEN: {
    status: 403,
    message: "This address may not use the tunnel.",
    nextStep: "Ask the tunnel's owner to allow your address.",
    retryable: false,
  },
  ERR_GGROK_VISITOR_RATE_LIMITED: {
    status: 429,
    message: "Too many requests from this address.",
    nextStep: "Wait as long as Retry-After says.",
    retryable: true,
  },
  ERR_GGROK_VISITOR_SIGNATURE_INVALID: {
    status: 401,
    message: "The webhook's signature does not match.",
    nextStep: "Check the secret on both sides.",
    retryable: false,
  },
  ERR_GGROK_CONNECT_UNAUTHORIZED: {
    status: 407,
    message: "This TCP tunnel asks for a token.",
    nextStep: "Send Proxy-Authorization with a token of the relay that may connect; `ggrok connect` takes --authtoken.",
    retryable: false,
    exitCode: 4,
  },
  ERR_GGROK_CONNECT_REFUSED: {
    status: 403,
    message: "CONNECT reaches only TCP tunnels of this relay.",
    nextStep: "Check the name of the tunnel; the relay is no open proxy.",
    retryable: false,
    exitCode: 5,
  },
  ERR_GGROK_REQUEST_MALFORMED: {
    status: 400,
    message: "The request is not valid HTTP, or can be read in two ways.",
    nextStep: "Check the client's request line, Host and body framing.",
    retryable: false,
  },
  ERR_GGROK_REQUEST_URI_TOO_LONG: {
    status: 414,
    message: "The request target is too long.",
    nextStep: "Send long values in the body.",
    retryable: false,
  },
  ERR_GGROK_REQUEST_HEADERS_TOO_LARGE: {
    status: 431,
    message: "The request's header fields are too large.",
    nextStep: "Send fewer or shorter fields; large cookies are the usual cause.",
    retryable: false,
  },
  ERR_GGROK_REQUEST_BODY_TOO_LARGE: {
    status: 413,
    message: "The request body is larger than this tunnel allows.",
    nextStep: "Send a smaller body, or raise the tunnel's limit.",
    retryable: false,
  },
  ERR_GGROK_REQUEST_TIMEOUT: {
    status: 408,
    message: "The request did not arrive in time.",
    nextStep: "Check the connection and send it again.",
    retryable: true,
  },
  ERR_GGROK_RELAY_OVERLOADED: {
    status: 503,
    message: "The relay is full at the moment.",
    nextStep: "Try again after the time in Retry-After.",
    retryable: true,
    closeCode: 4503,
  },
  ERR_GGROK_RELAY_DRAINING: {
    status: 503,
    message: "The relay is restarting.",
    nextStep: "Try again in a few seconds.",
    retryable: true,
    closeCode: 1001,
  },
  ERR_GGROK_LOOP_DETECTED: {
    status: 508,
    message: "The request came round in a circle.",
    nextStep: "Point the tunnel at the app, not at its own public address.",
    retryable: false,
  },
  ERR_GGROK_NOT_FOUND: {
    status: 404,
    message: "The relay has nothing at this path.",
    nextStep: "See the operator's documentation for the relay's own paths.",
    retryable: false,
  },
  ERR_GGROK_ADMIN_UNAUTHORIZED: {
    status: 401,
    message: "This path needs a token with the admin scope.",
    nextStep: "Send Authorization: Bearer with the relay's admin token.",
    retryable: false,
  },
  ERR_GGROK_TOKEN_REFUSED: {
    status: 401,
    message: "The relay does not accept this token.",
    nextStep: "Ask the relay's operator for a token, then run `ggrok login RELAY`.",
    retryable: false,
    closeCode: 4401,
    exitCode: 4,
  },
  ERR_GGROK_ORIGIN_REFUSED: {
    status: 403,
    message: "A web page cannot register a tunnel.",
    nextStep: "Use the ggrok command or library.",
    retryable: false,
    exitCode: 4,
  },
  ERR_GGROK_VERSION_UNSUPPORTED: {
    status: 426,
    message: "Agent and relay speak no common version of the protocol.",
    nextStep: "Upgrade the older of the two.",
    retryable: false,
    closeCode: 4426,
    exitCode: 8,
  },
  ERR_GGROK_HANDSHAKE_TIMEOUT: {
    status: 408,
    message: "The handshake was not completed in time.",
    nextStep: "Check the connection between agent and relay.",
    retryable: true,
    closeCode: 4408,
  },
  ERR_GGROK_SUPERSEDED: {
    status: 409,
    message: "A newer connection of the same agent has taken its place.",
    nextStep: "Nothing: the newer connection serves the tunnels.",
    retryable: false,
    closeCode: 4409,
  },
  ERR_GGROK_NAME_TAKEN: {
    status: 409,
    message: "Another agent holds this name.",
    nextStep: "Stop the other agent, take the name with --takeover, or choose another name.",
    retryable: false,
    exitCode: 5,
  },
  ERR_GGROK_NAME_NOT_ALLOWED: {
    status: 403,
    message: "This name cannot be bound at this relay.",
    nextStep: "Choose a name of letters, digits and hyphens under the relay's domain.",
    retryable: false,
    exitCode: 5,
  },
  ERR_GGROK_TAKEN_OVER: {
    status: 409,
    message: "Another agent has taken this name over.",
    nextStep: "Nothing if that was you; else ask who runs the other agent.",
    retryable: false,
    exitCode: 5,
  },
  ERR_GGROK_ENDED_BY_OPERATOR: {
    status: 409,
    message: "The relay's operator ended this tunnel.",
    nextStep: "Ask the relay's operator.",
    retryable: false,
    exitCode: 5,
  },
  ERR_GGROK_LIMIT_REACHED: {
    status: 429,
    message: "A limit of the relay is reached.",
    nextStep: "Release what is not needed, or ask the relay's operator.",
    retryable: true,
    exitCode: 5,
  },
  ERR_GGROK_PROTOCOL_VIOLATION: {
    status: 502,
    message: "The peer broke the tunnel protocol.",
    nextStep: "Upgrade the older of agent and relay; report it if both are new.",
    retryable: true,
    closeCode: 1002,
  },
  ERR_GGROK_WINDOW_EXCEEDED: {
    status: 502,
    message: "The peer sent more than it was allowed to.",
    nextStep: "Upgrade the older of agent and relay; report it if both are new.",
    retryable: true,
    closeCode: 4413,
  },
  ERR_GGROK_FLOOD: {
    status: 502,
    message: "The peer sent too many frames that do nothing.",
    nextStep: "Upgrade the older of agent and relay; report it if both are new.",
    retryable: true,
    closeCode: 4429,
  },
  ERR_GGROK_HEAD_INVALID: {
    status: 502,
    message: "A request or response head cannot be carried.",
    nextStep: "Check the field names and values the app or client sends.",
    retryable: false,
  },
  ERR_GGROK_STREAM_REFUSED: {
    status: 503,
    message: "The agent takes no more exchanges at the moment.",
    nextStep: "Try again after the time in Retry-After.",
    retryable: true,
  },
  ERR_GGROK_VISITOR_LEFT: {
    status: 499,
    message: "The visitor closed the connection before the answer was complete.",
    nextStep: "Nothing: nobody waits for the answer any more.",
    retryable: false,
  },
  ERR_GGROK_RELAY_UNREACHABLE: {
    status: 502,
    message: "The relay cannot be reached.",
    nextStep: "Check the relay's address and your network, then try again.",
    retryable: true,
    exitCode: 6,
  },
  ERR_GGROK_CONFIG_INVALID: {
    status: 400,
    message: "The configuration is not valid.",
    nextStep: "Correct the named key.",
    retryable: false,
    exitCode: 3,
  },
  ERR_GGROK_PROXY_UNAUTHORIZED: {
    status: 407,
    message: "This proxy asks for a user name and password.",
    nextStep: "Give them in the proxy's address, as in http://user:password@host:port.",
    retryable: false,
  },
  ERR_GGROK_PROXY_OVERLOADED: {
    status: 503,
    message: "The proxy has too many connections open.",
    nextStep: "Try again when others have ended.",
    retryable: true,
  },
  ERR_GGROK_DESTINATION_FORBIDDEN: {
    status: 403,
    message: "This proxy does not connect to private and local addresses.",
    nextStep: "Ask the proxy's owner, who can allow them with --allow-private.",
    retryable: false,
  },
  ERR_GGROK_DESTINATION_UNKNOWN: {
    status: 502,
    message: "The name of the destination does not resolve.",
    nextStep: "Check the name; it is resolved where the proxy runs.",
    retryable: true,
  },
  ERR_GGROK_DESTINATION_UNREACHABLE: {
    status: 502,
    message: "The destination accepts no connection.",
    nextStep: "Check host and port, as seen from where the proxy runs.",
    retryable: true,
  },
  ERR_GGROK_DESTINATION_TIMEOUT: {
    status: 504,
    message: "The destination did not accept the connection in time.",
    nextStep: "Check host and port, as seen from where the proxy runs; a firewall may drop the packets.",
    retryable: true,
  },
  ERR_GGROK_DESTINATION_RESET: {
    status: 502,
    message: "The destination closed the connection before it answered.",
    nextStep: "Look at the destination's own log for this request.",
    retryable: true,
  },
  ERR_GGROK_DESTINATION_MALFORMED: {
    status: 502,
    message: "The destination's answer is not valid HTTP.",
    nextStep: "Check that an HTTP server listens there; https goes by CONNECT.",
    retryable: false,
  },
  ERR_GGROK_UPSTREAM_PROXY_FAILED: {
    status: 502,
    message: "The proxy that this one hands on to did not connect.",
    nextStep: "Check the address and the credentials given to --upstream.",
    retryable: true,
  },
  ERR_GGROK_PROXY_LOGIN_REQUIRED: {
    status: 502,
    message: "The proxy on the way to the relay does not accept our login (407).",
    nextStep: "Give user and password in --proxy or HTTPS_PROXY, as in http://user:password@host:port.",
    retryable: false,
    exitCode: 3,
  },
  ERR_GGROK_APP_NOT_READY: {
    status: 504,
    message: "The app accepted no connection within the time given to --wait.",
    nextStep: "Start the app, or give --wait more time.",
    retryable: true,
    exitCode: 7,
  },
  ERR_GGROK_EXCHANGE_UNKNOWN: {
    status: 404,
    message: "No recorded exchange has this id.",
    nextStep: "List them with `ggrok requests`; the oldest make room for new ones.",
    retryable: false,
  },
  ERR_GGROK_EXCHANGE_NOT_REPLAYABLE: {
    status: 409,
    message: "This exchange cannot be sent again: its request is not stored as it came.",
    nextStep: "Send it again from where it came from, or raise what is recorded.",
    retryable: false,
  },
  ERR_GGROK_EDIT_INVALID: {
    status: 400,
    message: "The edited request is not valid.",
    nextStep: "Correct the part that is named.",
    retryable: false,
  },
  ERR_GGROK_HAR_INVALID: {
    status: 400,
    message: "This is no HAR file that can be read.",
    nextStep: "Give a HAR 1.2 file, as browsers and `ggrok requests export --har` write it.",
    retryable: false,
  },
  ERR_GGROK_API_REQUEST_INVALID: {
    status: 400,
    message: "The local API does not understand this call.",
    nextStep: "See docs/inspector-api.md.",
    retryable: false,
  },
  ERR_GGROK_API_NOT_FOUND: {
    status: 404,
    message: "The local API has nothing at this path.",
    nextStep: "See docs/inspector-api.md.",
    retryable: false,
  },
  ERR_GGROK_API_METHOD_REFUSED: {
    status: 405,
    message: "The local API does not take this method at this path.",
    nextStep: "See the field Allow, and docs/inspector-api.md.",
    retryable: false,
  },
  ERR_GGROK_API_FORBIDDEN: {
    status: 403,
    message: "The local API answers programs of this machine and its own page, no other site.",
    nextStep: "Open it by its address or as localhost.",
    retryable: false,
  },
  ERR_GGROK_API_TOKEN_REQUIRED: {
    status: 401,
    message: "This call needs the token of the local API.",
    nextStep: "Reload the page; a script finds the token in the agent's state file.",
    retryable: false,
  },
  ERR_GGROK_HISTORY_UNREADABLE: {
    status: 500,
    message: "The recorded exchanges cannot be read.",
    nextStep: "The tunnel is not affected. Restart the agent: it sets a damaged file aside and begins a new one.",
    retryable: false,
  },
  ERR_GGROK_INTERNAL: {
    status: 500,
    message: "Something went wrong inside ggrok.",
    nextStep: "Report it with the request id.",
    retryable: true,
    closeCode: 1011,
    exitCode: 1,
  },
} as const satisfies Record<`ERR_GGROK_${string}`, ErrorRow>;

/** Code of a failure; scripts compare it. */
export type ErrorCode = keyof typeof ERRORS;

/** Close code of an ending that has none of its own. */
const DEFAULT_CLOSE_CODE = 4500;

/** A failure of {@link ERRORS}. Compare `code`, not the class. */
export class GgrokError extends Error {
  readonly code: ErrorCode;
  /** Facts for logs. */
  readonly detail: Readonly<Record<string, unknown>> | undefined;

  constructor(code: ErrorCode, options: { message?: string; cause?: unknown; detail?: Record<string, unknown> } = {}) {
    super(options.message ?? ERRORS[code].message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "GgrokError";
    this.code = code;
    this.detail = options.detail;
  }

  /** The row of the table. */
  get row(): ErrorRow {
    return ERRORS[this.code];
  }
  get status(): number {
    return this.row.status;
  }
  get nextStep(): string {
    return this.row.nextStep;
  }
  get retryable(): boolean {
    return this.row.retryable;
  }
  /** WebSocket close code. */
  get closeCode(): number {
    return this.row.closeCode ?? DEFAULT_CLOSE_CODE;
  }
  /** Exit code of the command line. */
  get exitCode(): number {
    return this.row.exitCode ?? 1;
  }
}

/** Codes of RESET, protocol.md section 3. Wire format: never reuse one. */
export const ResetCode = {
  StopSending: 0,
  Protocol: 1,
  Internal: 2,
  VisitorLeft: 3,
  Refused: 4,
  UpstreamRefused: 5,
  UpstreamReset: 6,
  UpstreamTimeout: 7,
  UpstreamMalformed: 8,
  UpstreamTls: 9,
  Overload: 10,
  Draining: 11,
  SessionLost: 12,
  Unauthorized: 13,
  NotFound: 14,
  Offline: 15,
  Forbidden: 16,
  SignatureInvalid: 17,
  BodyTooLarge: 18,
} as const;
/** One of {@link ResetCode}. */
export type ResetCode = (typeof ResetCode)[keyof typeof ResetCode];

const ERROR_OF_RESET: Readonly<Record<ResetCode, ErrorCode>> = {
  [ResetCode.StopSending]: "ERR_GGROK_UPSTREAM_RESET",
  [ResetCode.Protocol]: "ERR_GGROK_HEAD_INVALID",
  [ResetCode.Internal]: "ERR_GGROK_INTERNAL",
  [ResetCode.VisitorLeft]: "ERR_GGROK_VISITOR_LEFT",
  [ResetCode.Refused]: "ERR_GGROK_STREAM_REFUSED",
  [ResetCode.UpstreamRefused]: "ERR_GGROK_UPSTREAM_REFUSED",
  [ResetCode.UpstreamReset]: "ERR_GGROK_UPSTREAM_RESET",
  [ResetCode.UpstreamTimeout]: "ERR_GGROK_UPSTREAM_TIMEOUT",
  [ResetCode.UpstreamMalformed]: "ERR_GGROK_UPSTREAM_MALFORMED",
  [ResetCode.UpstreamTls]: "ERR_GGROK_UPSTREAM_TLS_FAILED",
  [ResetCode.Overload]: "ERR_GGROK_RELAY_OVERLOADED",
  [ResetCode.Draining]: "ERR_GGROK_RELAY_DRAINING",
  [ResetCode.SessionLost]: "ERR_GGROK_SESSION_LOST",
  [ResetCode.Unauthorized]: "ERR_GGROK_CONNECT_UNAUTHORIZED",
  [ResetCode.NotFound]: "ERR_GGROK_CONNECT_REFUSED",
  [ResetCode.Offline]: "ERR_GGROK_ENDPOINT_OFFLINE",
  [ResetCode.Forbidden]: "ERR_GGROK_VISITOR_FORBIDDEN",
  [ResetCode.SignatureInvalid]: "ERR_GGROK_VISITOR_SIGNATURE_INVALID",
  [ResetCode.BodyTooLarge]: "ERR_GGROK_REQUEST_BODY_TOO_LARGE",
};

/** The failure a RESET code stands for. */
export function errorCodeOfReset(code: ResetCode): ErrorCode {
  return ERROR_OF_RESET[code];
}

/** Whether a number from the wire is a RESET code. */
export function isResetCode(value: number): value is ResetCode {
  return value in ERROR_OF_RESET;
}
