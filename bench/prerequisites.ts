import { findProgram } from "./find-program.ts";

/** Program and the Debian package that has it. */
const NEEDED: Readonly<Record<string, string>> = {
  wrk: "wrk",
  curl: "curl",
  nginx: "nginx-light",
  sshd: "openssh-server",
  ssh: "openssh-client",
  "ssh-keygen": "openssh-client",
};

/** Say what is missing before anything is started. `npm run bench` has installed all of it where it can. */
export function assertPrerequisites(): void {
  if (process.platform !== "linux") throw new Error("the bench reads CPU time from /proc, so it runs on Linux only");
  const missing = Object.keys(NEEDED).filter((program) => findProgram(program) === undefined);
  if (missing.length === 0) return;
  const lines = missing.map((program) => `  ${program}: apt-get install ${NEEDED[program] ?? program}`);
  throw new Error(
    `missing programs, which \`npm run bench\` installs on Debian or Ubuntu as root:\n${lines.join("\n")}`,
  );
}
