import { customAlphabet } from "nanoid";
import { chooseName } from "./generated-name.ts";
import type { Place } from "./names.ts";
import { TCP_PREFIX } from "./tcp-place.ts";

// 36^10 is above 2^51: nobody guesses a name, and two agents hardly ever draw the same.
const generateName = customAlphabet("abcdefghijklmnopqrstuvwxyz0123456789", 10);

/** A place for an agent that asked for none. */
export interface DrawnPlace {
  readonly place: Place;
  /** False when its token knows one name only. */
  readonly isGenerated: boolean;
}

/** What a place is drawn from. */
export interface PlaceDraw {
  /** What the agent's token may bind. */
  readonly globs: readonly string[];
  readonly isTcp: boolean;
  readonly domain: string | undefined;
  readonly isFree: (place: Place) => boolean;
  /** Draws a name, instead of the relay's own way. */
  readonly draw?: () => string;
}

/** Draws until a place is free; undefined when the token leaves the choice to the agent. */
export function drawPlace({ globs, isTcp, domain, isFree, draw = generateName }: PlaceDraw): DrawnPlace | undefined {
  for (;;) {
    const chosen = chooseName(globs, draw);
    if (chosen === undefined) return undefined;
    const host = chosen.name.includes(".") || domain === undefined ? chosen.name : `${chosen.name}.${domain}`;
    const place = { host, prefix: isTcp ? TCP_PREFIX : "" };
    if (!chosen.isRandom) return { place, isGenerated: false };
    if (isFree(place)) return { place, isGenerated: true };
  }
}
