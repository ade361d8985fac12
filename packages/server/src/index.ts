/** `@ggrok/server`: a relay in your own process. */
export { createRelay, type RelayOptions } from "./create-relay.ts";
export type { Relay } from "./relay.ts";
