import { readFileSync } from "node:fs";
import { GgrokError } from "@ggrok/protocol";
import { isMap, LineCounter, parseDocument } from "yaml";
import { configSchema, type FileConfig } from "./schema.ts";
import { configError } from "./values.ts";

/** One thing wrong with a file, with the line it stands on. */
export interface ConfigProblem {
  readonly line: number;
  readonly message: string;
}

/** Outcome of reading one file's text. */
export interface ParsedConfig {
  readonly config: FileConfig;
  readonly problems: readonly ConfigProblem[];
}

const lineFinders = new WeakMap<FileConfig, (path: readonly PropertyKey[]) => number>();

/** The line of a file that a setting stands on, for what is found wrong with it later. */
export function lineOf(config: FileConfig, path: readonly PropertyKey[]): number {
  return lineFinders.get(config)?.(path) ?? 1;
}

/** Parses a file's text; every problem is found at once, none throws. */
export function parseConfig(source: string): ParsedConfig {
  const lines = new LineCounter();
  const document = parseDocument(source, { lineCounter: lines, uniqueKeys: true });
  if (document.errors.length > 0) {
    return {
      config: {},
      problems: document.errors.map((e) => ({
        line: e.linePos?.[0].line ?? 1,
        message: e.message.split("\n")[0] ?? e.code,
      })),
    };
  }
  const value: unknown = document.toJS() ?? {};
  const parsed = configSchema.safeParse(value);
  const lineAt = (path: readonly PropertyKey[]): number => {
    const offset = offsetOf(document.contents, path);
    return offset === undefined ? 1 : lines.linePos(offset).line;
  };
  if (parsed.success) {
    lineFinders.set(parsed.data, lineAt);
    return { config: parsed.data, problems: crossChecks(parsed.data, lineAt) };
  }
  const problems = parsed.error.issues.flatMap((issue): ConfigProblem[] => {
    if (issue.code === "unrecognized_keys") {
      return issue.keys.map((key) => ({
        line: lineAt([...issue.path, key]),
        message: `unknown key "${[...issue.path, key].join(".")}"`,
      }));
    }
    const where = issue.path.length === 0 ? "the file" : issue.path.join(".");
    const what =
      issue.code === "invalid_type" && issue.input === undefined ? "is missing or of the wrong kind" : issue.message;
    return [{ line: lineAt(issue.path), message: `${where} ${what}` }];
  });
  return { config: {}, problems: problems.sort((a, b) => a.line - b.line) };
}

/** Reads a configuration file; undefined when there is none. Throws CONFIG_INVALID naming every problem and its line. */
export function loadConfig(path: string): FileConfig | undefined {
  let source: string;
  try {
    source = readFileSync(path, "utf8");
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && (cause.code === "ENOENT" || cause.code === "ENOTDIR"))
      return undefined;
    throw configError(`${path} cannot be read`, cause);
  }
  const { config, problems } = parseConfig(source);
  if (problems.length > 0) {
    const list = problems.map((p) => `${path}:${p.line}: ${p.message}`).join("\n");
    throw new GgrokError("ERR_GGROK_CONFIG_INVALID", { message: list });
  }
  return config;
}

/** A token without a relay beside it could be sent anywhere, so it is not accepted. */
function crossChecks(config: FileConfig, lineAt: (path: readonly PropertyKey[]) => number): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  if (config.agent?.authtoken !== undefined && config.relay === undefined) {
    problems.push({
      line: lineAt(["agent", "authtoken"]),
      message: "agent.authtoken needs `relay:` beside it, the one place it is sent to",
    });
  }
  const seen = new Set<string>();
  for (const [index, endpoint] of (config.endpoints ?? []).entries()) {
    if (seen.has(endpoint.name))
      problems.push({
        line: lineAt(["endpoints", index, "name"]),
        message: `endpoint "${endpoint.name}" is there twice`,
      });
    seen.add(endpoint.name);
  }
  return problems;
}

/** Offset of the key (or list item) a path leads to; of the nearest parent where the last step is missing. */
function offsetOf(contents: unknown, path: readonly PropertyKey[]): number | undefined {
  let node: unknown = contents;
  let offset: number | undefined;
  for (const step of path) {
    if (isMap(node)) {
      const pair = node.items.find((item) => String(item.key) === String(step));
      if (pair === undefined) break;
      offset = rangeStart(pair.key) ?? offset;
      node = pair.value;
    } else if (typeof node === "object" && node !== null && "items" in node && Array.isArray(node.items)) {
      node = node.items[Number(step)];
      offset = rangeStart(node) ?? offset;
    } else break;
  }
  return offset;
}

function rangeStart(node: unknown): number | undefined {
  if (typeof node !== "object" || node === null || !("range" in node) || !Array.isArray(node.range)) return undefined;
  const start: unknown = node.range[0];
  return typeof start === "number" ? start : undefined;
}
