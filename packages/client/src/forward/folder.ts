import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { realpath, stat } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join, relative, sep } from "node:path";
import { ResetCode } from "@ggrok/protocol";
import type { Dial } from "./dial.ts";
import { errorCode, UpstreamError } from "./failure.ts";

const TEXT = { "content-type": "text/plain; charset=utf-8", "cache-control": "no-store" };

/** Why a path is not served: the status, and where a folder's own address is. */
type Outcome =
  | { readonly file: string; readonly root: string }
  | { readonly status: number; readonly location?: string };

/**
 * Serves the files of one folder over a socket that nobody but this user can reach. Files go out through `send`, with ranges,
 * types and validators; what may go out is decided here: nothing outside the folder by dots, encoding or links, no hidden
 * files, no lists.
 */
export class FolderServer {
  readonly dial: Dial;
  readonly #close: () => void;

  constructor(folder: string) {
    const server = createServer((request, response) => {
      answer(folder, request, response).catch(() => {
        if (response.headersSent) response.destroy();
        else refuse(response, 500);
      });
    });
    // What is asked for comes from our own agent, which ends idle connections itself.
    server.keepAliveTimeout = 0;
    const place = openPlace();
    const ready = new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(place.path, resolve);
    });
    ready.catch(() => {});
    server.unref();
    this.dial = (o, done) => {
      const refused = (error: Error): void =>
        done(new UpstreamError(ResetCode.UpstreamRefused, errorCode(error), error));
      ready.then(() => {
        const socket = connect({ path: place.path, allowHalfOpen: o.allowHalfOpen });
        socket.once("error", refused);
        socket.once("connect", () => {
          socket.off("error", refused).on("error", () => {});
          done(null, socket);
        });
      }, refused);
    };
    this.#close = () => {
      server.close();
      server.closeAllConnections();
      place.remove();
    };
  }

  close(): void {
    this.#close();
  }
}

/** A name for the socket that other users of the machine cannot connect to. */
function openPlace(): { path: string; remove(): void } {
  if (process.platform === "win32") {
    return { path: `\\\\.\\pipe\\ggrok-${randomBytes(16).toString("hex")}`, remove() {} };
  }
  const folder = mkdtempSync(join(tmpdir(), "ggrok-"));
  return { path: join(folder, "s"), remove: () => rmSync(folder, { recursive: true, force: true }) };
}

async function answer(folder: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
  request.resume();
  if (request.method !== "GET" && request.method !== "HEAD") {
    response.setHeader("allow", "GET, HEAD");
    refuse(response, 405);
    return;
  }
  const outcome = await resolveFile(folder, request.url ?? "/");
  if ("status" in outcome) {
    if (outcome.location !== undefined) response.setHeader("location", outcome.location);
    refuse(response, outcome.status);
    return;
  }
  const { default: send } = await import("send");
  const path = relative(outcome.root, outcome.file).split(sep).map(encodeURIComponent).join("/");
  send(request, `/${path}`, { root: outcome.root, index: false, dotfiles: "allow" })
    .on("error", (error: Error & { status?: number }) => {
      if (response.headersSent) response.destroy();
      else refuse(response, error.status ?? 500);
    })
    .on("directory", () => refuse(response, 404))
    .pipe(response);
}

/** Finds the file a request-target means, behind all links, or says why there is none. */
async function resolveFile(folder: string, requestTarget: string): Promise<Outcome> {
  const end = requestTarget.search(/[?#]/);
  const path = end === -1 ? requestTarget : requestTarget.slice(0, end);
  const segments = decodeSegments(path);
  if (segments === undefined) return { status: 400 };
  if (segments.some((segment, at) => !isServed(segment, at))) return { status: 404 };
  try {
    const root = await realpath(folder);
    const found = await follow(root, join(root, ...segments));
    if (found === undefined) return { status: 404 };
    if (!found.isFolder) return path.endsWith("/") ? { status: 404 } : { root, file: found.path };
    if (!path.endsWith("/")) {
      // Two slashes at the beginning would be another host's address.
      const query = end === -1 ? "" : requestTarget.slice(end).replace(/#.*$/, "");
      return { status: 301, location: `${path.replace(/^[/\\]+/, "/")}/${query}` };
    }
    const index = await follow(root, join(found.path, "index.html"));
    return index === undefined || index.isFolder ? { status: 404 } : { root, file: index.path };
  } catch {
    return { status: 404 };
  }
}

function decodeSegments(path: string): string[] | undefined {
  try {
    return path
      .split("/")
      .filter((segment) => segment !== "")
      .map((segment) => decodeURIComponent(segment));
  } catch {
    return undefined;
  }
}

/** One name of a folder and nothing else; hidden ones only below `/.well-known`. */
function isServed(segment: string, at: number): boolean {
  if (segment.includes("/") || segment.includes("\0") || (sep === "\\" && /[\\:]/.test(segment))) return false;
  return !segment.startsWith(".") || (at === 0 && segment === ".well-known");
}

/** The real path, when it is inside the root, visible, and a file or a folder; a pipe or a device would never end. */
async function follow(root: string, path: string): Promise<{ path: string; isFolder: boolean } | undefined> {
  const real = await realpath(path);
  if (real !== root && !real.startsWith(root.endsWith(sep) ? root : root + sep)) return undefined;
  const inside = relative(root, real).split(sep);
  if (real !== root && inside.some((segment, at) => !isServed(segment, at))) return undefined;
  const found = await stat(real);
  if (!found.isFile() && !found.isDirectory()) return undefined;
  return { path: real, isFolder: found.isDirectory() };
}

function refuse(response: ServerResponse, status: number): void {
  response.writeHead(status, TEXT);
  response.end(`${status}\n`);
}
