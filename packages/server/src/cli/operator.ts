import type { ReservationView, TokenView } from "../admin/views.ts";

/** A token to be made, as it was asked for; whoever makes it checks it. The lifetime is in seconds. */
export interface NewToken {
  readonly name: string;
  readonly scopes?: readonly string[];
  readonly names?: readonly string[];
  readonly paths?: readonly string[];
  readonly kinds?: readonly string[];
  readonly ports?: readonly (readonly [number, number])[];
  readonly expiresInS?: number;
}

/** A token that was made, with itself: shown once. */
export interface MadeToken extends TokenView {
  readonly secret: string;
  /** For `ggrok login`; undefined when nobody has said where the relay is. */
  readonly invite?: string;
}

/** A name to be reserved; the lifetime is in seconds. */
export interface NewReservation {
  readonly name: string;
  readonly token: string;
  readonly expiresInS?: number;
  readonly force: boolean;
}

/** What the operator's commands do, on a data directory or on a running relay. */
export interface Operator {
  createToken(wish: NewToken): Promise<MadeToken>;
  listTokens(): Promise<readonly TokenView[]>;
  revokeToken(nameOrId: string): Promise<TokenView>;
  listReservations(): Promise<readonly ReservationView[]>;
  reserve(wish: NewReservation): Promise<ReservationView>;
  release(name: string): Promise<void>;
  close(): void;
}

/** Why a command ended in vain, in a sentence for people. */
export class OperatorError extends Error {
  readonly exitCode: number;

  constructor(message: string, exitCode: number = 1) {
    super(message);
    this.exitCode = exitCode;
  }
}
