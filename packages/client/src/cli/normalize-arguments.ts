const DEFAULT_WAIT = "--wait=60s";
/** Switches that ngrok's agent also takes with a value. */
const SWITCHES = ["--pooling-enabled", "--takeover", "--public", "--strip-prefix", "--insecure", "--json", "--local"];

/**
 * Brings spellings that ngrok's users know into the one the parser knows: `--wait` alone means 60 s and never swallows
 * the target behind it; `--pooling-enabled=true` is the bare switch, `=false` its absence. What follows `--` is left alone.
 */
export function normalizeArguments(argv: readonly string[]): string[] {
  const end = argv.indexOf("--");
  const own = end === -1 ? argv : argv.slice(0, end);
  const normalized = own.flatMap((argument) => {
    if (argument === "--wait") return [DEFAULT_WAIT];
    const [name = "", value] = argument.split("=", 2);
    if (value === undefined || !SWITCHES.includes(name)) return [argument];
    return value === "true" ? [name] : value === "false" ? [] : [argument];
  });
  return end === -1 ? normalized : [...normalized, ...argv.slice(end)];
}

/** An id as relays make them, where it begins with a hyphen. */
const ID_LIKE_A_FLAG = /^-[A-Za-z0-9_-]{20}$/;

/** Puts ids that look like a flag behind `--`, where none is looked for. */
export function shieldIds(argv: readonly string[]): string[] {
  const ids = argv.filter((argument) => ID_LIKE_A_FLAG.test(argument) && !argument.startsWith("--"));
  if (ids.length === 0) return [...argv];
  return [...argv.filter((argument) => !ids.includes(argument)), "--", ...ids];
}
