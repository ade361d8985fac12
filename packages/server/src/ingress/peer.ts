import {
  type ForwardedClaims,
  type ForwardedFields,
  forwardedFields,
  plainAddress,
  type TrustedPeers,
} from "./forwarded.ts";
import { isEncrypted } from "./request-origin.ts";

/** A connection as far as {@link peerOf} looks at it. */
export interface PeerSocket {
  readonly remoteAddress?: string | undefined;
}

/** The other end of a visitor's connection: found out with its first request, since nothing of it changes. */
export class Peer {
  /** As people write it. */
  readonly address: string;
  /** A front end whose forwarding fields are believed. */
  readonly isTrusted: boolean;
  readonly #trusted: TrustedPeers;
  readonly #isEncrypted: boolean;
  #host: string | undefined;
  #fields: ForwardedFields | undefined;

  constructor(socket: PeerSocket, trusted: TrustedPeers) {
    this.address = plainAddress(socket.remoteAddress);
    this.isTrusted = trusted.isTrusted(this.address);
    this.#trusted = trusted;
    this.#isEncrypted = isEncrypted(socket);
  }

  /**
   * The forwarding fields of one request. Without claims they are those of the last one, as a connection's requests
   * nearly always have one Host.
   *
   * @param host value of the Host field
   * @param claims what the peer said, when it is trusted and said something
   */
  vouch(host: string, claims: ForwardedClaims | undefined): ForwardedFields {
    if (claims !== undefined) return forwardedFields(this.address, host, this.#isEncrypted, claims, this.#trusted);
    if (this.#fields === undefined || host !== this.#host) {
      this.#fields = forwardedFields(this.address, host, this.#isEncrypted, undefined, this.#trusted);
      this.#host = host;
    }
    return this.#fields;
  }
}

const peers = new WeakMap<PeerSocket, Peer>();

/** The peer of a connection of one relay. */
export function peerOf(socket: PeerSocket, trusted: TrustedPeers): Peer {
  const known = peers.get(socket);
  if (known !== undefined) return known;
  const peer = new Peer(socket, trusted);
  peers.set(socket, peer);
  return peer;
}
