import { existsSync, rmSync, writeFileSync } from "node:fs";
import { findProgram } from "./peers.ts";
import { runToEnd } from "./processes.ts";

const INSTALL_TIMEOUT_MS = 300_000;
const POLICY = "/usr/sbin/policy-rc.d";

/** Program and the Debian package that has it. */
const NEEDED: Readonly<Record<string, string>> = {
  wrk: "wrk",
  curl: "curl",
  nginx: "nginx-light",
  sshd: "openssh-server",
  ssh: "openssh-client",
  "ssh-keygen": "openssh-client",
};

function findMissing(): string[] {
  return Object.keys(NEEDED).filter((program) => findProgram(program) === undefined);
}

/** Install packages with their services kept from starting; the switch for that is removed again if it is ours. */
async function install(packages: readonly string[]): Promise<void> {
  const isOurs = !existsSync(POLICY);
  if (isOurs) writeFileSync(POLICY, "#!/bin/sh\nexit 101\n", { mode: 0o755 });
  try {
    const environment = ["DEBIAN_FRONTEND=noninteractive", "apt-get"];
    await runToEnd("env", [...environment, "update", "-qq"], INSTALL_TIMEOUT_MS);
    const done = await runToEnd("env", [...environment, "install", "-y", "-qq", "--no-install-recommends", ...packages], INSTALL_TIMEOUT_MS);
    if (done.code !== 0) process.stderr.write(done.stderr);
  } finally {
    if (isOurs) rmSync(POLICY, { force: true });
  }
}

/** Make sure the load generators and the baselines are there, or say what is missing and how to get it. */
export async function ensurePrerequisites(): Promise<void> {
  if (process.platform !== "linux") throw new Error("the bench reads CPU time from /proc, so it runs on Linux only");
  let missing = findMissing();
  if (missing.length > 0 && process.getuid?.() === 0 && existsSync("/etc/debian_version")) {
    const packages = [...new Set(missing.map((program) => NEEDED[program] ?? program))];
    console.error(`installing ${packages.join(", ")}`);
    await install(packages);
    missing = findMissing();
  }
  if (missing.length === 0) return;
  const lines = missing.map((program) => `  ${program}: apt-get install ${NEEDED[program] ?? program}`);
  throw new Error(`missing programs:\n${lines.join("\n")}`);
}
