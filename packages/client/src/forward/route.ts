import { Agent, type ClientRequestArgs, request as openRequest } from "node:http";
import type { Duplex } from "node:stream";
import { getField, type HeaderList, removeHopByHop } from "@ggrok/protocol";
import { createDial, type Dial, forgiveWrites, type UpstreamTls } from "./dial.ts";
import type { AnswerEditor, Exchange, HeldHead } from "./exchange.ts";
import { FolderServer } from "./folder.ts";
import { applyHeaderRules, type HeaderRules } from "./header-rules.ts";
import { HeldAnswer } from "./held-answer.ts";
import {
  type HostHeader,
  localOrigin,
  type Origin,
  publicOrigin,
  rewriteAnswer,
  rewriteRequest,
} from "./host-header.ts";
import { type HostSignature, mayBeHostRefusal, recogniseBrokenUpgrade } from "./host-signature.ts";
import { LanePool } from "./lane-pool.ts";
import { FORWARD_LIMITS } from "./limits.ts";
import { stripPrefix } from "./mounts.ts";
import { joinTarget, originForm, type Target } from "./target.ts";

/** What a route is made of. */
export interface RouteOptions {
  readonly target: Target;
  readonly tls?: UpstreamTls;
  /** Path the target is mounted at; empty for the tunnel's own target. */
  readonly prefix: string;
  /** The target does not get to see the prefix. */
  readonly isPrefixStripped: boolean;
  readonly hostHeader: HostHeader;
  readonly requestRules?: HeaderRules;
  readonly responseRules?: HeaderRules;
  readonly onNotice?: (text: string) => void;
  /** Sends an exchange to the app once more. */
  readonly restart: (exchange: Exchange) => void;
}

/** The way to one target of a tunnel: its connections, and how requests and answers are dressed for it. */
export class Route {
  readonly target: Target;
  readonly prefix: string;
  readonly dial: Dial;
  readonly lanes: LanePool;
  readonly agent: Agent;
  /** The app sends interim answers that undici does not take: everything goes by node:http. */
  takesFullPath = false;

  readonly #o: RouteOptions;
  readonly #folder: FolderServer | undefined;
  readonly #local: Origin;
  readonly #plain: AnswerEditor | undefined;
  readonly #watching: AnswerEditor;
  #isRewriting: boolean;
  #dropsForwardedHost = false;
  #isWatching: boolean;

  constructor(options: RouteOptions) {
    const { target, hostHeader, responseRules } = options;
    this.#o = options;
    this.target = target;
    this.prefix = options.prefix;
    this.#folder = target.folder === undefined ? undefined : new FolderServer(target.folder);
    this.dial = this.#folder?.dial ?? createDial(target, options.tls);
    this.lanes = new LanePool(this.dial);
    this.agent = createAgent(this.dial);
    this.#local = localOrigin(target, hostHeader);
    // A certificate names the host that is meant, so another machine's app is asked by that name at once.
    const isElsewhere = target.scheme === "https" && !target.isLoopback;
    this.#isRewriting =
      hostHeader.mode === "rewrite" || hostHeader.mode === "literal" || (hostHeader.mode === "auto" && isElsewhere);
    this.#isWatching = hostHeader.mode === "auto" && !isElsewhere;
    const edit = (fields: HeaderList): HeaderList => applyHeaderRules(fields, responseRules);
    this.#plain = responseRules === undefined ? undefined : { edit };
    this.#watching = {
      edit,
      hold: (exchange, head) => this.#hold(exchange, head),
      rescue: (exchange, error) => this.#rescue(exchange, error),
    };
  }

  /** The request-target for the app. */
  pathOf(requestTarget: string): string {
    if (this.prefix === "" || !this.#o.isPrefixStripped) return joinTarget(this.target, requestTarget);
    return joinTarget(this.target, stripPrefix(originForm(requestTarget), this.prefix));
  }

  /** The fields for the app; says at the same time what becomes of the answer. */
  dress(exchange: Exchange): HeaderList {
    const { head, hostRetry } = exchange;
    let { fields } = head;
    if (this.prefix !== "" && this.#o.isPrefixStripped) fields = addForwardedPrefix(fields, this.prefix);
    fields = applyHeaderRules(fields, this.#o.requestRules);
    if (!this.#isRewriting && hostRetry === undefined) {
      exchange.editor = this.#isWatching && isRepeatable(exchange) ? this.#watching : this.#plain;
      return fields;
    }
    const from = publicOrigin(head.fields);
    const dropsForwardedHost = hostRetry?.dropsForwardedHost ?? this.#dropsForwardedHost;
    exchange.editor = this.#editorFor(from, hostRetry);
    return rewriteRequest(fields, { from, to: this.#local, dropsForwardedHost });
  }

  close(): void {
    this.lanes.close();
    this.agent.destroy();
    this.#folder?.close();
  }

  destroy(): void {
    this.lanes.destroy();
    this.agent.destroy();
    this.#folder?.close();
  }

  #editorFor(visitor: Origin | undefined, hostRetry: HostSignature | undefined): AnswerEditor {
    const { basePath } = this.target;
    const learn = (status: number): void => {
      if (hostRetry !== undefined) this.#learn(hostRetry, status);
    };
    return {
      onSwitching: () => learn(101),
      edit: (fields, status) => {
        learn(status);
        const named = visitor === undefined ? fields : rewriteAnswer(fields, { local: this.#local, visitor, basePath });
        return applyHeaderRules(named, this.#o.responseRules);
      },
    };
  }

  /** The local host helped, or it did not: then every later exchange goes its way once. */
  #learn(signature: HostSignature, status: number): void {
    if (!this.#isWatching) return;
    this.#isWatching = false;
    if (mayBeHostRefusal(status)) return;
    this.#isRewriting = true;
    this.#dropsForwardedHost = signature.dropsForwardedHost;
    this.#o.onNotice?.(
      `Host header: rewritten to ${this.#local.host} (${signature.server} refuses other hosts). Keep it as it is: --host-header=preserve`,
    );
  }

  #hold(exchange: Exchange, head: HeldHead): HeldAnswer | undefined {
    if (!mayBeHostRefusal(head.status) || exchange.hostRetry !== undefined) return undefined;
    const path = this.pathOf(exchange.head.target);
    exchange.editor = this.#plain;
    return new HeldAnswer({
      exchange,
      head,
      path,
      probe: (onBody) => this.#probe(exchange, path, onBody),
      onRefusal: (signature) => this.#retry(exchange, signature),
    });
  }

  #rescue(exchange: Exchange, error: Error): boolean {
    const signature = recogniseBrokenUpgrade(this.pathOf(exchange.head.target), error);
    if (signature !== undefined) this.#retry(exchange, signature);
    return signature !== undefined;
  }

  #retry(exchange: Exchange, signature: HostSignature): void {
    exchange.hostRetry = signature;
    this.#o.restart(exchange);
  }

  /** Asks with GET what HEAD was refused for: the reason stands in the body. */
  #probe(exchange: Exchange, path: string, onBody: (body: Buffer) => void): void {
    const chunks: Buffer[] = [];
    let bytes = 0;
    let isOver = false;
    const end = (): void => {
      if (isOver) return;
      isOver = true;
      clearTimeout(timer);
      onBody(Buffer.concat(chunks));
      request.destroy();
    };
    const timer = setTimeout(() => end(), FORWARD_LIMITS.CONNECT_TIMEOUT_MS);
    const headers = [...removeHopByHop(applyHeaderRules(exchange.head.fields, this.#o.requestRules))];
    const request = openRequest({ method: "GET", path, headers, setHost: false, agent: this.agent }, (response) => {
      response.on("data", (chunk: Buffer) => {
        chunks.push(chunk);
        bytes += chunk.length;
        if (bytes >= FORWARD_LIMITS.HELD_ANSWER_BYTES_MAX) end();
      });
      response.on("error", end);
      response.on("close", end);
    });
    request.on("error", end);
    request.end();
  }
}

/** Nothing of the visitor's would be lost or done twice by sending it again. */
function isRepeatable(exchange: Exchange): boolean {
  const { kind, method } = exchange.head;
  if (method !== "GET" && method !== "HEAD") return false;
  return kind === "upgrade" || (exchange.isRequestWhole && exchange.bytesIn === 0);
}

function addForwardedPrefix(fields: HeaderList, prefix: string): HeaderList {
  const before = getField(fields, "x-forwarded-prefix")?.replace(/\/+$/, "") ?? "";
  const kept: string[] = [];
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i] ?? "";
    if (name.toLowerCase() !== "x-forwarded-prefix") kept.push(name, fields[i + 1] ?? "");
  }
  kept.push("X-Forwarded-Prefix", before + prefix);
  return kept;
}

function createAgent(dial: Dial): Agent {
  const agent = new Agent({
    keepAlive: true,
    scheduling: "lifo",
    maxFreeSockets: FORWARD_LIMITS.IDLE_CONNECTIONS_MAX,
    timeout: FORWARD_LIMITS.IDLE_CONNECTION_MS,
  });
  agent.createConnection = (_options: ClientRequestArgs, done?: (error: Error | null, socket: Duplex) => void) => {
    dial({ allowHalfOpen: false }, (error, socket) => {
      // Node asks for a socket beside an error; it looks at the error first.
      done?.(error, (socket === undefined ? undefined : forgiveWrites(socket)) as Duplex);
    });
    return undefined;
  };
  return agent;
}
