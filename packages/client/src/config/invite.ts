import { configError } from "./values.ts";

/** What `ggrok login` is given: a relay, with a token behind `#` when it is the link an operator made. */
export interface Invite {
  readonly relay: string;
  readonly token: string | undefined;
}

/** Takes the token out of an invite link: `https://relay.example.com/#TOKEN`. A fragment never reaches a server's log. */
export function splitInvite(text: string): Invite {
  const at = text.indexOf("#");
  if (at < 0) return { relay: text, token: undefined };
  const token = text.slice(at + 1).trim();
  if (!/^[\u0021-\u007e]+$/u.test(token)) throw configError("the link has no token behind its #: ask for a new one");
  return { relay: text.slice(0, at), token };
}
