import { ResetCode } from "@ggrok/protocol";
import type { Agent } from "./agent/agent.ts";
import { AppWatch } from "./agent/app-watch.ts";
import { type NamePlace, recallName, recallOwnName, releaseName, rememberName } from "./agent/chosen-names.ts";
import type { EventHub } from "./agent/events.ts";
import type { Tunnel, TunnelSpec } from "./agent/tunnel.ts";
import type { RelayAddress } from "./config/relay-url.ts";
import { type VisitorPlan, visitorOptions } from "./config/visitor-plan.ts";
import type { ExchangeEvent } from "./forward/exchange.ts";
import type { OpenTap } from "./forward/exchange-tap.ts";
import { createForwarder, type Forwarder, type ForwardPlan } from "./forward/forwarder.ts";
import type { ProxyProtocolVersion } from "./forward/proxy-protocol.ts";
import type { Target } from "./forward/target.ts";
import { createTcpForwarder, type TcpForwarder } from "./forward/tcp.ts";
import { ExchangeStats } from "./inspector/exchange-stats.ts";
import type { WebhookVerifier } from "./webhook/verifier.ts";
import { WebhookGate } from "./webhook/webhook-gate.ts";

/** The way to the relay, decided: what all tunnels of an agent share. */
export interface AgentPlan {
  readonly relay: RelayAddress;
  readonly token?: string;
  readonly proxy?: string;
  readonly ca?: string;
  readonly retry: boolean;
  readonly folder: string;
  readonly stateDir: string;
  readonly onNotice?: (text: string) => void;
  /** Whether exchanges of this tunnel are listened to, and by whom. */
  readonly openTap?: (tunnel: string) => OpenTap | undefined;
  readonly onExchange?: (event: ExchangeEvent) => void;
  /** An app began or ceased to listen. */
  readonly onAppChange?: (isListening: boolean, target: Target) => void;
}

/** One tunnel, decided: what remains is to do it. */
export interface TunnelPlan extends ForwardPlan {
  /** The target as shown to people. */
  readonly targetLabel: string;
  readonly name: string;
  readonly url?: string;
  /** Under what a chosen name is remembered; none but this tunnel takes it up. Default: the target, and any free name. */
  readonly memory?: string;
  readonly isPooling: boolean;
  readonly isTakeover: boolean;
  readonly isPrefixStripped: boolean;
  /** False: its exchanges are not recorded. */
  readonly isInspected: boolean;
  /** A TCP tunnel. */
  readonly tcp?: TcpPlan;
  /** Whom a tunnel of HTTP lets in. */
  readonly visitors?: VisitorPlan;
  /** How the signatures of its webhooks are checked. */
  readonly webhook?: WebhookPlan;
}

/** Secrets shared with senders of webhooks. They stay in the agent. */
export interface WebhookPlan {
  readonly verifier: WebhookVerifier;
  /** False: the verdict is shown, and every request reaches the app. */
  readonly isEnforced: boolean;
}

/** What a TCP tunnel has beside what every tunnel has. */
export interface TcpPlan {
  /** Whoever reaches the relay may connect by name. */
  readonly isPublic: boolean;
  readonly cidrAllow?: readonly string[];
  readonly cidrDeny?: readonly string[];
  readonly proxyProtocol?: ProxyProtocolVersion;
}

/** What the tunnels of one agent share. */
export interface TunnelRoom {
  readonly plan: AgentPlan;
  readonly events: EventHub;
  /** Of all tunnels together. */
  readonly stats: ExchangeStats;
  readonly place: NamePlace;
  /** The token, or the agent's id where there is none: salts passwords. */
  readonly ownerSecret: string;
}

/** What hands a tunnel's streams to its apps. */
interface Hands {
  /** What visitors get to. */
  readonly http: Forwarder;
  /** The way to the app behind all gates. */
  readonly direct: Forwarder;
  readonly tcp: TcpForwarder | undefined;
}

/** One tunnel with what serves it. What it leads to may change while it runs. */
export class RunningTunnel {
  readonly stats = new ExchangeStats();
  readonly #room: TunnelRoom;
  readonly #recalledUrl: string | undefined;
  /** What served it before: open exchanges end there. */
  readonly #former = new Set<Hands>();
  #plan: TunnelPlan;
  #hands: Hands;
  #app: AppWatch<Target>;
  #agent: Agent | undefined;
  #tunnel: Tunnel | undefined;

  constructor(plan: TunnelPlan, room: TunnelRoom) {
    this.#room = room;
    this.#plan = plan;
    this.#hands = this.#createHands();
    this.#app = this.#watchApp();
    if (plan.url === undefined)
      this.#recalledUrl =
        plan.memory === undefined ? recallName(room.place, plan.targetLabel) : recallOwnName(room.place, plan.memory);
  }

  get plan(): TunnelPlan {
    return this.#plan;
  }
  get app(): AppWatch<Target> {
    return this.#app;
  }
  /** What hands exchanges to its app now; undefined for a tunnel of TCP. */
  get forwarder(): Forwarder | undefined {
    return this.#plan.tcp === undefined ? this.#hands.direct : undefined;
  }
  /** The public address, once the relay gave one. */
  get url(): string | undefined {
    return this.#tunnel?.url;
  }
  get isOnline(): boolean {
    return this.#tunnel?.isOnline === true;
  }
  /** False when its name was lost for good, or given back. */
  get isKept(): boolean {
    return this.#tunnel !== undefined && this.#agent?.tunnels.includes(this.#tunnel) === true;
  }

  /** The tunnel as the agent is to ask for it. */
  spec(): TunnelSpec {
    const { name, targetLabel, url, isPooling, isTakeover, isPrefixStripped, tcp, visitors } = this.#plan;
    const options = visitors === undefined ? undefined : visitorOptions(visitors, this.#room.ownerSecret);
    return {
      name,
      target: targetLabel,
      ...(url !== undefined && { url }),
      ...(this.#recalledUrl !== undefined && { recalledUrl: this.#recalledUrl }),
      isPooling,
      isTakeover,
      isPrefixStripped,
      ...(options !== undefined && { options }),
      onStream: (stream, head, fin) => this.#hands.http.onStream(stream, head, fin),
      ...(tcp !== undefined && {
        tcp: {
          options: {
            ...(tcp.isPublic && { public: true }),
            ...(tcp.cidrAllow !== undefined && { cidrAllow: tcp.cidrAllow }),
            ...(tcp.cidrDeny !== undefined && { cidrDeny: tcp.cidrDeny }),
          },
          onConnection: (stream, head, fin) => this.#hands.tcp?.onConnection(stream, head, fin),
        },
      }),
    };
  }

  /** Hears where the agent keeps it. */
  join(agent: Agent, tunnel: Tunnel | undefined): void {
    this.#agent = agent;
    this.#tunnel = tunnel;
  }

  /** Leads to somewhere else from now on. The relay hears nothing of it, and open exchanges end where they began. */
  redirect(plan: TunnelPlan): void {
    const former = this.#hands;
    this.#former.add(former);
    void former.http.close().then(() => this.#former.delete(former));
    this.#app.stop();
    this.#plan = plan;
    this.#hands = this.#createHands();
    this.#app = this.#watchApp();
    this.#app.check();
    if (this.#tunnel === undefined) return;
    this.#tunnel.spec = this.spec();
    this.#agent?.announce(this.#tunnel);
  }

  /** Gives the name back; open exchanges go on to their end. */
  remove(): void {
    this.#app.stop();
    if (this.#tunnel !== undefined) this.#agent?.remove(this.#tunnel);
    void this.#hands.http.close();
    this.#release();
  }

  /** Keeps the address for the next start, where nobody had asked for one. */
  remember(url: string): void {
    // A TCP tunnel is announced a second time under its public port; its name is what it is known by.
    if (this.#plan.url === undefined && url === this.url) rememberName(this.#room.place, this.#memory, url);
  }

  /** Cuts what is left. The session has ended before. */
  async end(): Promise<void> {
    this.#app.stop();
    for (const { http, tcp } of [this.#hands, ...this.#former]) {
      tcp?.destroy();
      http.destroy();
      await http.close();
    }
    this.#release();
  }

  get #memory(): string {
    return this.#plan.memory ?? this.#plan.targetLabel;
  }

  #release(): void {
    if (this.#plan.url === undefined) releaseName(this.#room.place, this.#memory);
  }

  #watchApp(): AppWatch<Target> {
    const { onAppChange } = this.#room.plan;
    const { target, mounts = [] } = this.#plan;
    return new AppWatch([target, ...mounts.map((mount) => mount.target)], (isListening, app) =>
      onAppChange?.(isListening, app),
    );
  }

  #createHands(): Hands {
    const { plan } = this.#room;
    const { name, isInspected, tcp, webhook, ...forwardPlan } = this.#plan;
    const openTap = isInspected ? plan.openTap?.(name) : undefined;
    const heard = {
      tunnel: name,
      onExchange: (exchange: ExchangeEvent) => this.#onExchange(exchange),
      ...(openTap !== undefined && { openTap }),
    };
    const direct = createForwarder({
      ...forwardPlan,
      ...heard,
      ...(plan.onNotice !== undefined && { onNotice: plan.onNotice }),
    });
    const http =
      webhook?.isEnforced === true
        ? new WebhookGate({ ...heard, verifier: webhook.verifier, forwarder: direct, url: () => this.url })
        : direct;
    return { http, direct, tcp: tcp === undefined ? undefined : this.#createTcp(tcp) };
  }

  #createTcp({ proxyProtocol }: TcpPlan): TcpForwarder {
    const { target, timeoutMs } = this.#plan;
    return createTcpForwarder({
      target,
      ...(timeoutMs !== undefined && { timeoutMs }),
      ...(proxyProtocol !== undefined && { proxyProtocol }),
      onOpen: () => this.#count(),
      onEnd: (durationMs, reset) => {
        this.#countEnd(durationMs);
        if (reset === ResetCode.UpstreamRefused) this.#app.check();
      },
    });
  }

  #onExchange(exchange: ExchangeEvent): void {
    if (exchange.phase === "start") this.#count();
    else this.#finish(exchange);
    this.#room.plan.onExchange?.(exchange);
  }

  #finish(exchange: ExchangeEvent): void {
    const { events } = this.#room;
    const durationMs = exchange.durationMs ?? 0;
    this.#countEnd(durationMs);
    if (exchange.error === "ERR_GGROK_UPSTREAM_REFUSED") this.#app.check();
    if (!events.hearsRequests) return;
    events.emit("request", {
      id: exchange.id,
      method: exchange.method,
      path: exchange.path,
      ...(exchange.status !== undefined && { status: exchange.status }),
      durationMs: Math.round(durationMs * 10) / 10,
      bytesIn: exchange.bytesIn ?? 0,
      bytesOut: exchange.bytesOut ?? 0,
    });
  }

  #count(): void {
    this.stats.started();
    this.#room.stats.started();
  }

  #countEnd(durationMs: number): void {
    this.stats.ended(durationMs);
    this.#room.stats.ended(durationMs);
  }
}
