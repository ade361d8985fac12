/**
 * What one direction of a stream has carried so far (protocol.md, section "Streams").
 * The opener's direction starts in `body`, since OPEN is its head; the acceptor's starts in `head`.
 */
export type DirectionState = "head" | "body" | "ended";

/** What can come next in a direction: a 1xx head, the final head, DATA, or its end (FIN or TRAILERS). */
export type DirectionEvent = "informational" | "head" | "data" | "end";

/** `invalid` marks what no peer may send in that state; it ends the session. */
export const NEXT_DIRECTION_STATE: Readonly<
  Record<DirectionState, Readonly<Record<DirectionEvent, DirectionState | "invalid">>>
> = {
  head: { informational: "head", head: "body", data: "invalid", end: "invalid" },
  body: { informational: "invalid", head: "invalid", data: "body", end: "ended" },
  ended: { informational: "invalid", head: "invalid", data: "invalid", end: "invalid" },
};
