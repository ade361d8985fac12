import type { Server } from "node:http";

/** Fields of every event, by the event's name. The same objects go out with `--json`, the name first. */
export interface EventMap {
  "session.connecting": { attempt: number };
  "session.online": { attempt: number; resumed: boolean };
  "session.reconnecting": { attempt: number; delayMs: number; reason: string };
  "tunnel.online": { name: string; url: string; target: string };
  "tunnel.offline": { name: string; reason: string };
  "inspector.online": { url: string };
  /** One finished exchange. `status` is missing when there was no answer. */
  request: {
    id: string;
    method: string;
    path: string;
    status?: number;
    durationMs: number;
    bytesIn: number;
    bytesOut: number;
  };
  error: { code: string; message: string };
}

/** Name of an event. */
export type EventName = keyof EventMap;

/** Where a relay is, and how to get there. */
export interface RelayOptions {
  /** `host`, `host:port` or `https://…`; `http://…` to loopback. Default: `GGROK_RELAY`, then the user's configuration file. */
  relay?: string;
  /** Token for the relay. Default: `GGROK_AUTHTOKEN`, then the one stored for this relay. */
  authtoken?: string;
  /** Allow `http://` to a relay beyond loopback. Default: false. */
  insecure?: boolean;
  /** URL of an HTTP or SOCKS proxy on the way to the relay. Default: `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`. */
  proxy?: string;
  /** Path of a PEM file with further certificate authorities for the relay. */
  ca?: string;
  /** Folder this agent counts as being in: names are kept for it. Default: the working directory. */
  folder?: string;
  /** False: a relay that cannot be reached is an error instead of a reason to try again. Default: true. */
  retry?: boolean;
  /** Aborting closes the listener, or the attempt to get one. */
  signal?: AbortSignal;
}

/** How a tunnel is to be. */
export interface TunnelOptions extends RelayOptions {
  /** Wanted public address: a URL, a host, or a bare name below the relay's domain. Default: one that is kept for this folder. */
  url?: string;
  /** Name of the tunnel in events. Default: `command_line`, as in ngrok's agent. */
  name?: string;
  /** Share the address with other agents that pool too. Default: false. */
  poolingEnabled?: boolean;
  /** Take the address from another living agent with the same token. Default: false. */
  takeover?: boolean;
  /** Remove the path prefix of `url`, and those of `mounts`, before the request reaches the app. Default: false. */
  stripPrefix?: boolean;
  /** Longest silence of the app, milliseconds: 504 before the head, a broken transfer after it. Default: none. */
  timeoutMs?: number;
  /** Only these addresses and networks may visit or connect. */
  cidrAllow?: readonly string[];
  /** These addresses and networks may not visit or connect. */
  cidrDeny?: readonly string[];
  /** Users who may visit, each `user:password`; everyone else is asked to log in. Not for TCP tunnels. */
  basicAuth?: readonly string[];
  /** The app sees the Authorization field that let the visitor in. Default: false. */
  basicAuthPass?: boolean;
  /** Requests of one address: `10/s`, `100/m`, `10/s:50`. Not for TCP tunnels. */
  rateLimit?: string;
  /** Globs of paths that need no log-in, such as `/webhooks/*`. */
  open?: readonly string[];
  /** Check the signatures of webhooks, each `provider=SECRET`, as `--verify-webhook` does. Not for TCP tunnels. */
  verifyWebhook?: readonly string[];
  /** `report`: every request reaches the app, and the verdict stands beside the recorded exchange. Default: `enforce`. */
  verifyWebhookMode?: "enforce" | "report";
  /**
   * Record the exchanges and show them at a local address, as the command line does. Default: false, because a program that
   * is not asked to should neither listen on a port nor write visitors' data to the disk.
   */
  inspect?: boolean | InspectOptions;
}

/** How exchanges are recorded. */
export interface InspectOptions {
  /** Where the local API listens: a port or `host:port`; false: nowhere. Default: the user's configuration, else `127.0.0.1:4040` or the next free port. */
  webAddr?: number | string | false;
  /** Names of header and JSON fields whose values are not recorded. */
  redact?: readonly string[];
}

/** Fields to take away, then fields to add. */
export interface HeaderChanges {
  /** Each `Name: value`. */
  add?: readonly string[];
  /** Names. */
  remove?: readonly string[];
}

/** Options of `forward()`. */
export interface ForwardOptions extends TunnelOptions {
  /** What to expose: a port, `host:port`, an `http(s)://` URL, `unix:/path.sock` or `file:///folder`. */
  addr: number | string;
  /** The Host the app sees: `auto`, `preserve`, `rewrite`, or a host. Default: `auto`. */
  hostHeader?: string;
  /** Other apps below a path, as in `{ "/api": 8080 }`. */
  mounts?: Readonly<Record<string, number | string>>;
  /** Changes of requests on their way to the app. */
  requestHeaders?: HeaderChanges;
  /** Changes of answers on their way to the visitor. */
  responseHeaders?: HeaderChanges;
  /** Check the certificate of an `https://` target. Default: true, on this machine false. */
  upstreamTlsVerify?: boolean;
  /** Path of a PEM file with further certificate authorities for an `https://` target. */
  upstreamTlsCa?: string;
  /** `tcp`: a TCP tunnel, whose `addr` is a port, `host:port`, `tcp://host:port` or `unix:/path.sock`. Default: `http`. */
  proto?: "http" | "tcp";
  /** Of a TCP tunnel: everyone who reaches the relay may connect by name, without a token. Default: false. */
  public?: boolean;
  /** Of a TCP tunnel: tell the app who connects, by this version of the PROXY protocol. */
  upstreamProxyProtocol?: 1 | 2;
}

/** Options of `serve()`. */
export type ServeOptions = TunnelOptions;

/** Options of `createConnection()`. */
export interface ConnectionOptions extends Pick<RelayOptions, "relay" | "insecure" | "proxy" | "ca" | "signal"> {
  /** Name of the TCP tunnel: `db`, or `db.tunnels.example.com`. */
  name: string;
  /** Token with the right to connect. Default: `GGROK_AUTHTOKEN`, then the one stored for this relay. */
  token?: string;
  /** Longest time until the app has taken the connection, milliseconds; the error has the code `ETIMEDOUT`. Default: 30,000. */
  timeoutMs?: number;
  /** Keep the writing side open when the other end has finished, as in `net.connect()`. Default: false. */
  allowHalfOpen?: boolean;
}

/** A tunnel that is online. */
export interface Listener extends AsyncDisposable {
  /** The public URL, confirmed by the relay. */
  url(): string;
  /** Every public address: a TCP tunnel with a raw public port has two, its name first. */
  urls(): string[];
  /** Address of the page and the local API; undefined without `inspect`. */
  inspectorUrl(): string | undefined;
  /** Lets open exchanges finish (10 s at most) and ends the tunnel. */
  close(): Promise<void>;
  /** Listens to one kind of event; returns a function that stops it. */
  on<E extends EventName>(event: E, listener: (fields: EventMap[E]) => void): () => void;
  /** Settles when the tunnel is over: undefined after `close()`, else the error that ended it. */
  readonly closed: Promise<Error | undefined>;
}

/** A listener of Node's `request` event; Express apps are such functions. */
export type NodeListener = (
  request: import("node:http").IncomingMessage,
  response: import("node:http").ServerResponse,
) => unknown;

/** A fetch handler: the web's Request in, Response out. */
export type FetchHandler = (request: Request) => Response | Promise<Response>;

/** What `serve()` takes, in the order in which it is recognised. A function of fewer than two parameters is a fetch handler. */
export type Servable =
  | Server
  | { readonly server: Server; ready(): PromiseLike<unknown> }
  | { fetch: FetchHandler }
  | NodeListener
  | FetchHandler;
