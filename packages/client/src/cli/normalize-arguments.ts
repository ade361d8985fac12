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
