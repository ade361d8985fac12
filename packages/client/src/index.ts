export { createConnection } from "./library/create-connection.ts";
export { forward } from "./library/forward.ts";
export { serve } from "./library/serve.ts";
export type {
  ConnectionOptions,
  EventMap,
  EventName,
  FetchHandler,
  ForwardOptions,
  HeaderChanges,
  InspectOptions,
  Listener,
  NodeListener,
  RelayOptions,
  Servable,
  ServeOptions,
  TunnelOptions,
} from "./types.ts";
