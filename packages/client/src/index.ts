export { forward } from "./forward.ts";
export { serve } from "./serve.ts";
export type {
  EventMap,
  EventName,
  FetchHandler,
  ForwardOptions,
  Listener,
  NodeListener,
  RelayOptions,
  Servable,
  ServeOptions,
  TunnelOptions,
} from "./types.ts";
