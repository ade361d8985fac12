import { connect as connectTcp, isIP, type NetConnectOpts, type Socket } from "node:net";
import { type ConnectionOptions, connect as connectTls } from "node:tls";
import { ResetCode } from "@ggrok/protocol";
import { errorCode, UpstreamError } from "./failure.ts";
import { FORWARD_LIMITS } from "./limits.ts";
import type { Target } from "./target.ts";

/** How the app's certificate is judged. */
export interface UpstreamTls {
  /** Default: on for everything but this machine, and there too when `ca` says whom to believe. */
  readonly verify?: boolean;
  /** All certificates to trust, PEM; default: the system's. */
  readonly ca?: readonly string[];
}

/** Hears of the new connection, or why there is none. */
export type DialCallback = (error: UpstreamError | null, socket?: Socket) => void;

/** Opens a connection to the app, ready for the first request. */
export type Dial = (o: { allowHalfOpen: boolean }, done: DialCallback) => void;

const LOOPBACK = ["127.0.0.1", "::1"] as const;

/**
 * Makes the one function that connects to the target. `localhost` is tried on both loopback families, the one that answered
 * last first: dev servers listen on either.
 */
export function createDial(target: Target, tls: UpstreamTls = {}): Dial {
  let preferred = 0;

  const secure = (socket: Socket, done: DialCallback) => {
    if (target.scheme === "https") startTls(socket, target, tls, done);
    else done(null, socket);
  };

  return (o, done) => {
    if (target.socketPath !== undefined) {
      open({ path: target.socketPath, allowHalfOpen: o.allowHalfOpen }, done);
      return;
    }
    if (!target.isLocalhostName) {
      openTcp(target.hostname, target.port, o.allowHalfOpen, (error, socket) => {
        if (socket === undefined) done(error);
        else secure(socket, done);
      });
      return;
    }
    const first = preferred;
    openTcp(LOOPBACK[first] ?? LOOPBACK[0], target.port, o.allowHalfOpen, (error, socket) => {
      if (socket !== undefined) return secure(socket, done);
      const second = 1 - first;
      openTcp(LOOPBACK[second] ?? LOOPBACK[0], target.port, o.allowHalfOpen, (_secondError, secondSocket) => {
        if (secondSocket === undefined) return done(error);
        preferred = second;
        secure(secondSocket, done);
      });
    });
  };
}

/**
 * Lets a failed write pass in silence and leaves the end of the connection to its reading side: an app that answers early and
 * closes makes our next write fail, and Node would drop the socket with the answer still unread in it.
 */
export function forgiveWrites(socket: Socket): Socket {
  let hasFailed = false;
  const forgive = (callback: (error?: Error | null) => void) => (error?: Error | null) => {
    if (error) hasFailed = true;
    callback();
  };
  const write = socket._write;
  const writev = socket._writev;
  socket._write = (chunk, encoding, callback) => {
    if (hasFailed) callback();
    else write.call(socket, chunk, encoding, forgive(callback));
  };
  if (writev !== undefined) {
    socket._writev = (chunks, callback) => {
      if (hasFailed) callback();
      else writev.call(socket, chunks, forgive(callback));
    };
  }
  return socket;
}

function openTcp(host: string, port: number, allowHalfOpen: boolean, done: DialCallback): void {
  open({ host, port, allowHalfOpen, noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 }, done);
}

function open(options: NetConnectOpts, done: DialCallback): void {
  const socket = connectTcp(options);
  settle(socket, "connect", done, (error) => {
    const isLate = errorCode(error) === "ETIMEDOUT";
    return new UpstreamError(isLate ? ResetCode.UpstreamTimeout : ResetCode.UpstreamRefused, errorCode(error), error);
  });
}

function startTls(socket: Socket, target: Target, tls: UpstreamTls, done: DialCallback): void {
  const options: ConnectionOptions = {
    socket,
    host: target.hostname,
    ALPNProtocols: ["http/1.1"],
    rejectUnauthorized: tls.verify ?? (tls.ca !== undefined || !target.isLoopback),
    ...(isIP(target.hostname) === 0 && { servername: target.hostname }),
    ...(tls.ca !== undefined && { ca: [...tls.ca] }),
  };
  const secure = connectTls(options);
  settle(secure, "secureConnect", done, (error) => {
    const isLate = errorCode(error) === "ETIMEDOUT";
    return new UpstreamError(isLate ? ResetCode.UpstreamTimeout : ResetCode.UpstreamTls, errorCode(error), error);
  });
}

function settle(socket: Socket, event: string, done: DialCallback, wrap: (error: Error) => UpstreamError): void {
  const timer = setTimeout(() => {
    socket.destroy(Object.assign(new Error("the connection took too long to open"), { code: "ETIMEDOUT" }));
  }, FORWARD_LIMITS.CONNECT_TIMEOUT_MS);
  const onError = (error: Error) => {
    finish();
    done(wrap(error));
  };
  const onClose = () =>
    onError(Object.assign(new Error("the connection closed while it opened"), { code: "ECONNRESET" }));
  const onReady = () => {
    finish();
    done(null, socket);
  };
  const finish = () => {
    clearTimeout(timer);
    socket.off(event, onReady).off("close", onClose).off("error", onError);
    // Late errors of a socket nobody took over yet must not end the process.
    socket.on("error", ignore);
  };
  socket.on(event, onReady).on("close", onClose).on("error", onError);
}

function ignore(): void {}
