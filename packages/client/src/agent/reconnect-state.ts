/** What the agent is doing about its connection. */
export const PHASES = ["idle", "dialling", "online", "waiting", "stopped"] as const;
export type Phase = (typeof PHASES)[number];

/**
 * What can happen to it. `welcomed`: the relay took the session. `failed`: a try came to nothing and another may help.
 * `lost`: the session in use has no link any more. `move`: the relay drains and asks for a new connection while the old
 * one goes on. `wake`: the machine slept or changed its network. `due`: the pause is over. `refused`: retrying cannot
 * cure it. `stop`: the user has had enough.
 */
export const RECONNECT_EVENTS = [
  "start",
  "welcomed",
  "failed",
  "lost",
  "move",
  "wake",
  "due",
  "refused",
  "stop",
] as const;
export type ReconnectEvent = (typeof RECONNECT_EVENTS)[number];

/** What is to be done on the way into the next phase. */
export type ReconnectAction = "none" | "dial" | "redial" | "pause" | "probe" | "end";

/** One cell of the table. */
export interface Step {
  readonly next: Phase;
  readonly action: ReconnectAction;
}

const stay = (next: Phase): Step => ({ next, action: "none" });
const DIAL: Step = { next: "dialling", action: "dial" };
const PAUSE: Step = { next: "waiting", action: "pause" };
const END: Step = { next: "stopped", action: "end" };
const OVER = stay("stopped");

/** Every phase meets every event: nothing that happens at a bad moment is undefined. */
export const RECONNECT_TABLE: Readonly<Record<Phase, Readonly<Record<ReconnectEvent, Step>>>> = {
  idle: {
    start: DIAL,
    welcomed: stay("idle"),
    failed: stay("idle"),
    lost: stay("idle"),
    move: stay("idle"),
    wake: stay("idle"),
    due: stay("idle"),
    refused: END,
    stop: END,
  },
  dialling: {
    start: stay("dialling"),
    welcomed: stay("online"),
    failed: PAUSE,
    // The old session ended while a new connection is under way: that one is what is needed.
    lost: stay("dialling"),
    move: stay("dialling"),
    // The try may hang on a socket of the old network.
    wake: { next: "dialling", action: "redial" },
    due: stay("dialling"),
    refused: END,
    stop: END,
  },
  online: {
    start: stay("online"),
    welcomed: stay("online"),
    failed: stay("online"),
    lost: PAUSE,
    move: PAUSE,
    wake: { next: "online", action: "probe" },
    due: stay("online"),
    refused: END,
    stop: END,
  },
  waiting: {
    start: stay("waiting"),
    welcomed: stay("waiting"),
    failed: stay("waiting"),
    lost: stay("waiting"),
    move: stay("waiting"),
    wake: DIAL,
    due: DIAL,
    refused: END,
    stop: END,
  },
  stopped: {
    start: OVER,
    welcomed: OVER,
    failed: OVER,
    lost: OVER,
    move: OVER,
    wake: OVER,
    due: OVER,
    refused: OVER,
    stop: OVER,
  },
};
