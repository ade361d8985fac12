import { readFileSync } from "node:fs";
import { isMap, isScalar, LineCounter, parseDocument } from "yaml";
import { completeConfig, type RelayConfig } from "./config.ts";
import { detectPlatform } from "./platform.ts";
import { configSchema, SETTING_NAMES, SETTINGS, type SettingName } from "./schema.ts";

/** Everything a configuration is made from. Reading is an argument, so that loading needs no file system in tests. */
export interface Sources {
  /** Flags by setting name, as given; lists as arrays. */
  flags: Readonly<Partial<Record<SettingName, unknown>>>;
  env: Readonly<Record<string, string | undefined>>;
  /** Path of `--config`. */
  configFile?: string;
  isTerminal: boolean;
  readFile?: (path: string) => string;
}

/** One thing wrong: the key as the user wrote it, and what to do about it. */
export interface ConfigProblem {
  key: string;
  message: string;
}

/** A configuration, or everything that is wrong with it. */
export type LoadResult =
  | { config: RelayConfig; problems?: undefined }
  | { config?: undefined; problems: ConfigProblem[] };

interface Given {
  value: unknown;
  /** How the user spelt it: a flag, a variable or a line of the file. */
  key: string;
}

/** Flags over environment over file, checked as a whole: all problems come back at once. */
export function loadConfig(sources: Sources): LoadResult {
  const problems: ConfigProblem[] = [];
  const read = sources.readFile ?? ((path: string): string => readFileSync(path, "utf8"));
  const file =
    sources.configFile === undefined ? new Map<string, Given>() : readConfigFile(sources.configFile, read, problems);
  const given = new Map<SettingName, Given>();
  for (const name of SETTING_NAMES) {
    const found = fromFlag(name, sources.flags) ?? fromEnvironment(name, sources.env) ?? file.get(name);
    if (found === undefined) continue;
    const resolved = resolveValue(name, found, { env: sources.env, read, problems });
    if (resolved !== undefined) given.set(name, { value: resolved, key: found.key });
  }
  const parsed = configSchema.safeParse(Object.fromEntries([...given].map(([name, { value }]) => [name, value])));
  if (!parsed.success) {
    for (const issue of parsed.error.issues) {
      const name = String(issue.path[0]) as SettingName;
      problems.push({ key: given.get(name)?.key ?? `--${name}`, message: issue.message });
    }
  }
  if (!parsed.success || problems.length > 0) return { problems };
  return {
    config: completeConfig(parsed.data, { platform: detectPlatform(sources.env), isTerminal: sources.isTerminal }),
  };
}

function fromFlag(name: SettingName, flags: Sources["flags"]): Given | undefined {
  const value = flags[name];
  return value === undefined ? undefined : { value, key: `--${name}` };
}

function fromEnvironment(name: SettingName, env: Sources["env"]): Given | undefined {
  for (const variable of SETTINGS[name].env) {
    const value = env[variable];
    if (value !== undefined) return { value, key: variable };
  }
  return undefined;
}

interface ResolveContext {
  env: Sources["env"];
  read: (path: string) => string;
  problems: ConfigProblem[];
}

interface ResolvedValue {
  value?: unknown;
  problem?: string;
}

/** Splits lists and follows `env:` and `file:`. An empty value fails closed: an unset secret must not mean "no secret". */
function resolveValue(name: SettingName, { value, key }: Given, context: ResolveContext): unknown {
  const { list = false, secret = false } = SETTINGS[name] as { list?: boolean; secret?: boolean };
  const items: unknown[] = (Array.isArray(value) ? value : [value]).flatMap((item: unknown) =>
    list && typeof item === "string" ? item.split(",").map((part) => part.trim()) : [item],
  );
  const resolved: unknown[] = [];
  for (const item of items) {
    const outcome: ResolvedValue = secret && typeof item === "string" ? resolveSecret(item, context) : { value: item };
    if (outcome.problem !== undefined) context.problems.push({ key, message: outcome.problem });
    else if (outcome.value === "" || outcome.value === null)
      context.problems.push({ key, message: "is set but empty; give a value or leave it out" });
    else resolved.push(outcome.value);
  }
  if (resolved.length < items.length) return undefined;
  if (list) return resolved;
  return resolved.length === 1 ? resolved[0] : resolved;
}

function resolveSecret(text: string, { env, read }: ResolveContext): ResolvedValue {
  if (text.startsWith("env:")) {
    const value = env[text.slice(4)];
    return value === undefined ? { problem: `refers to ${text}, which is not set` } : { value };
  }
  if (!text.startsWith("file:")) return { value: text };
  try {
    return { value: read(text.slice(5)).trim() };
  } catch (error) {
    return { problem: `refers to ${text}, which cannot be read: ${messageOf(error)}` };
  }
}

function readConfigFile(path: string, read: (path: string) => string, problems: ConfigProblem[]): Map<string, Given> {
  const found = new Map<string, Given>();
  let text: string;
  try {
    text = read(path);
  } catch (error) {
    problems.push({ key: "--config", message: `${path} cannot be read: ${messageOf(error)}` });
    return found;
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines });
  for (const error of document.errors)
    problems.push({
      key: `${path}:${String(error.linePos?.[0].line ?? 1)}`,
      message: error.message.split("\n")[0] ?? "",
    });
  if (document.errors.length > 0 || document.contents === null) return found;
  if (!isMap(document.contents)) {
    problems.push({ key: path, message: "must be a list of keys and values, such as `port: 8080`" });
    return found;
  }
  for (const pair of document.contents.items) {
    const name = isScalar(pair.key) ? String(pair.key.value) : "?";
    const offset = isScalar(pair.key) ? (pair.key.range?.[0] ?? 0) : 0;
    const key = `${path}:${String(lines.linePos(offset).line)}: ${name}`;
    if (!Object.hasOwn(SETTINGS, name)) problems.push({ key, message: "is not a setting of the relay" });
    else found.set(name, { key, value: (document.toJS() as Record<string, unknown>)[name] });
  }
  return found;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
