/** Longest DNS label. */
const MAX_LABEL_CHARACTERS = 63;

/** A name for an agent that asked for none. */
export interface ChosenName {
  readonly name: string;
  /** Drawn at random; a name that is the only one the token has is not. */
  readonly isRandom: boolean;
}

/**
 * A name that the globs of a token allow: a random one, one with a random part, or the only one there is.
 *
 * @returns undefined when the globs leave the choice to the agent
 */
export function chooseName(globs: readonly string[], draw: () => string): ChosenName | undefined {
  if (globs.includes("*")) return { name: draw(), isRandom: true };
  for (const glob of globs) {
    const first = glob.indexOf("*");
    if (first < 0 || glob.includes(".")) continue;
    const name = (glob.slice(0, first) + draw() + glob.slice(first)).replaceAll("*", "").toLowerCase();
    if (name.length <= MAX_LABEL_CHARACTERS) return { name, isRandom: true };
  }
  const [only, ...others] = globs;
  return only === undefined || others.length > 0 || only.includes("*")
    ? undefined
    : { name: only.toLowerCase(), isRandom: false };
}
