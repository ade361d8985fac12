import {
  CAPABILITIES,
  type ControlMessage,
  type GgrokError,
  type Hello,
  LIMITS,
  type MuxStream,
  type OpenHead,
  Session,
  type Welcome,
} from "@ggrok/protocol";

/** One authenticated life at a relay: the session and what proves that a new connection continues it. */
export interface Link {
  readonly session: Session;
  /** The latest: each resumption brings a new one. */
  welcome: Welcome;
  /** When it began, milliseconds of the monotonic clock; undefined once it was resumed. */
  since: number | undefined;
}

/** What becomes of a link. */
export interface LinkHandler {
  onStream(stream: MuxStream, head: OpenHead, fin: boolean): void;
  onControl(link: Link, message: ControlMessage): void;
  /** Its connection broke; the session waits to be resumed. */
  onLost(link: Link): void;
  /** The relay ends the session in good order. */
  onDraining(link: Link): void;
  /** Nothing comes of it any more. */
  onClosed(link: Link, error: GgrokError): void;
}

/** Makes the session that a welcome promised; who calls attaches the connection. */
export function createLink(welcome: Welcome, handler: LinkHandler): Link {
  const session: Session = new Session({
    side: "dialler",
    id: welcome.session,
    resumable: welcome.capabilities.includes(CAPABILITIES.Resume),
    localWindow: LIMITS.REQUEST_WINDOW_INITIAL_BYTES,
    peerWindow: welcome.window,
    peerMaxStreams: welcome.maxStreams,
    localMaxStreams: LIMITS.STREAMS_MAX,
    heartbeat: welcome.heartbeat,
    handler: {
      onStream: (stream, head, fin) => handler.onStream(stream, head, fin),
      onControl: (message) => handler.onControl(link, message),
      onState: (state) => {
        if (state === "lost") handler.onLost(link);
        if (state === "draining") handler.onDraining(link);
      },
      onClosed: (error) => handler.onClosed(link, error),
    },
  });
  const link: Link = { session, welcome, since: performance.now() };
  return link;
}

/** Whether a new connection could continue it. */
export function canResume(link: Link | undefined): link is Link {
  return link?.session.state === "lost" && link.session.isResumable;
}

/** Who says hello. */
export interface Greeter {
  readonly software: string;
  readonly agentId: string;
  readonly instance: string;
  readonly label: string;
}

/**
 * The first message of a try.
 *
 * @param o.resumed the link it is to continue; lets go of that link's old connection
 * @param o.previous account of a session that ended for good
 */
export function createHello(
  { software, agentId, instance, label }: Greeter,
  { attempt, resumed, previous }: { attempt: number; resumed: Link | undefined; previous: Hello["previous"] },
): Hello {
  return {
    type: "hello",
    role: "agent",
    software,
    agentId,
    instance,
    attempt,
    slot: 0,
    capabilities: [CAPABILITIES.Resume],
    window: LIMITS.REQUEST_WINDOW_INITIAL_BYTES,
    maxStreams: LIMITS.STREAMS_MAX,
    label,
    ...(resumed !== undefined && {
      resume: { session: resumed.session.id, secret: resumed.welcome.secret, received: resumed.session.detach() },
    }),
    ...(resumed === undefined && previous !== undefined && { previous }),
  };
}

/** What a relay must know of a session that ended, to tell requests that were given from those that were not. */
export function accountOf({ session, welcome }: Link): Hello["previous"] {
  return {
    session: session.id,
    secret: welcome.secret,
    lastStream: session.lastRemoteId,
    // What is left out counts as given, which is safe.
    undispatched: session.undispatched().slice(0, LIMITS.UNDISPATCHED_MAX),
  };
}
