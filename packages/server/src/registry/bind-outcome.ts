import type { ErrorCode } from "@ggrok/protocol";
import type { Endpoint, Owner } from "./endpoint.ts";
import type { Refusal } from "./ownership.ts";
import { isAnonymousOwner } from "./reservations.ts";

/** The answer to a bind. */
export type BindOutcome =
  | { readonly bound: { url: string; claim: number; portUrl?: string } }
  | { readonly refused: { code: ErrorCode; message: string; holder: string | undefined } };

/** A bind that is refused, and who holds the place where the asker may know. */
export function refusal(code: ErrorCode, message: string, holder?: string): BindOutcome {
  return { refused: { code, message, holder } };
}

/** Why a place that somebody holds is not given, in the words of whoever asks. */
export function refuseHeld(why: Refusal | "rules-differ", endpoint: Endpoint | undefined, owner: Owner): BindOutcome {
  const url = endpoint?.url ?? "the name";
  const holder = why === "other-token" ? undefined : endpoint?.members[0]?.owner.label;
  const by = holder ?? "another agent";
  const isAnonymous = endpoint?.members.some((member) => isAnonymousOwner(member.owner.principal)) === true;
  if (why === "older-claim")
    return refusal("ERR_GGROK_TAKEN_OVER", `${url} was taken over by ${by}, which was started later`, holder);
  const reasons: Readonly<Record<Exclude<Refusal, "older-claim"> | "rules-differ", string>> = {
    "rules-differ": `${url} is shared with ${by}, which has other rules for visitors: those who pool need the same flags`,
    "other-token": isAnonymous
      ? `${url} belongs to another agent, and without a token nobody can show that it is the same owner's: --takeover and --pooling-enabled work between agents with one token`
      : `${url} belongs to another token`,
    "pooling-differs": `${url} is held by ${by}, and pooling must be on for both or for neither`,
    held: `${url} is held by ${by}, which is online; take it with --takeover or share it with --pooling-enabled`,
    frozen: `${url} changed hands too often between ${by} and ${owner.label}; ${by} keeps it for a minute`,
  };
  return refusal("ERR_GGROK_NAME_TAKEN", reasons[why], holder);
}
