import { GgrokError } from "@ggrok/protocol";

/** What a first user is told: there is no relay yet, and the three ways to one. */
const THREE_WAYS = `No relay is set. ggrok reaches the internet through a relay of yours; there are three ways in:

  1. You have been given one:      ggrok login RELAY
  2. Run your own:                 npx @ggrok/server        (on a server, Fly or Heroku; see the documentation)
  3. Try it on this machine first: ggrok http PORT --local

For one command, --relay RELAY or the variable GGROK_RELAY will do.`;

/** Exit code 3 with the three ways in. */
export function noRelayError(): GgrokError {
  return new GgrokError("ERR_GGROK_CONFIG_INVALID", { message: THREE_WAYS });
}
