// Programs from outside the npm registry that the tests use; `bench/prerequisites.ts` has those of the bench.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { chmod, rm, writeFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { run, SetupError } from "./run.mjs";

/** A Debian policy script with exit code 101 keeps a freshly installed package from starting its service. */
const POLICY = "/usr/sbin/policy-rc.d";

const programs = {
  chromium: {
    commands: ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"],
    packages: ["chromium"],
    elsewhere:
      "Chromium or Chrome: https://www.chromium.org/getting-involved/download-chromium/, `brew install --cask chromium`, `dnf install chromium`",
  },
  caddy: {
    commands: ["caddy"],
    packages: ["caddy"],
    elsewhere: "Caddy: https://caddyserver.com/docs/install, `brew install caddy`",
  },
  faketime: {
    commands: ["faketime"],
    packages: ["faketime"],
    elsewhere: "faketime: https://github.com/wolfcw/libfaketime",
  },
  nginx: {
    commands: ["nginx"],
    packages: ["nginx-light"],
    elsewhere: "nginx: https://nginx.org/en/download.html, `brew install nginx`",
  },
  pebble: {
    commands: ["pebble"],
    packages: ["pebble"],
    elsewhere: "pebble, the ACME test server: https://github.com/letsencrypt/pebble",
  },
  prlimit: { commands: ["prlimit"], packages: ["util-linux"], elsewhere: "prlimit: part of util-linux" },
  script: { commands: ["script"], packages: ["bsdutils"], elsewhere: "script: part of util-linux" },
  django: {
    commands: ["django-admin"],
    packages: ["python3-django"],
    elsewhere: "Django for the system's python3: `pip install django`",
  },
  puma: { commands: ["puma"], packages: ["puma"], elsewhere: "Puma: `gem install puma`" },
  rails: { commands: ["rails"], packages: ["ruby-railties"], elsewhere: "Rails: `gem install railties`" },
  microsocks: {
    commands: ["microsocks"],
    packages: ["microsocks"],
    elsewhere: "microsocks: https://github.com/rofl0r/microsocks, `brew install microsocks`",
  },
  mariadb: {
    commands: ["mariadbd", "mysqld"],
    packages: ["mariadb-server", "mariadb-client"],
    elsewhere: "MariaDB's server: https://mariadb.org/download, `brew install mariadb`",
  },
  postgres: {
    // Debian keeps the server's programs out of PATH, by version.
    commands: ["initdb"],
    folders: postgresFolders,
    packages: ["postgresql"],
    elsewhere: "PostgreSQL's server: https://www.postgresql.org/download, `brew install postgresql`",
  },
  psql: { commands: ["psql"], packages: ["postgresql-client"], elsewhere: "psql: part of PostgreSQL" },
  redis: {
    commands: ["redis-server"],
    packages: ["redis-server", "redis-tools"],
    elsewhere: "Redis: https://redis.io/docs/latest/operate/oss_and_stack/install, `brew install redis`",
  },
  ssh: { commands: ["ssh"], packages: ["openssh-client"], elsewhere: "OpenSSH's client: https://www.openssh.com" },
  sshd: { commands: ["sshd"], packages: ["openssh-server"], elsewhere: "OpenSSH's server: https://www.openssh.com" },
  systemd: {
    commands: ["systemd-analyze"],
    packages: ["systemd"],
    elsewhere: "systemd-analyze: part of systemd, on Linux only",
  },
  openssl: { commands: ["openssl"], packages: ["openssl"], elsewhere: "openssl: https://www.openssl.org" },
  bashCompletion: {
    // No program: what bash's completion scripts build upon.
    commands: ["bash_completion"],
    folders: () => ["/usr/share/bash-completion", "/opt/homebrew/share/bash-completion"],
    packages: ["bash-completion"],
    elsewhere: "bash-completion: https://github.com/scop/bash-completion, `brew install bash-completion@2`",
  },
  fish: { commands: ["fish"], packages: ["fish"], elsewhere: "fish: https://fishshell.com" },
  perl: { commands: ["perl"], packages: ["perl-base"], elsewhere: "Perl: https://www.perl.org" },
  ps: { commands: ["ps"], packages: ["procps"], elsewhere: "ps: part of procps" },
  zsh: { commands: ["zsh"], packages: ["zsh"], elsewhere: "zsh: https://www.zsh.org" },
  httpie: { commands: ["http"], packages: ["httpie"], elsewhere: "HTTPie: https://httpie.io/docs/cli/installation" },
  curl: { commands: ["curl"], packages: ["curl"], elsewhere: "curl: https://curl.se/download.html" },
};

/** What `npm test` needs. */
export const TEST_PROGRAMS = [
  "caddy",
  "bashCompletion",
  "chromium",
  "curl",
  "django",
  "faketime",
  "fish",
  "httpie",
  "mariadb",
  "microsocks",
  "nginx",
  "openssl",
  "pebble",
  "perl",
  "postgres",
  "prlimit",
  "ps",
  "psql",
  "puma",
  "rails",
  "redis",
  "script",
  "ssh",
  "sshd",
  "systemd",
  "zsh",
];

function postgresFolders() {
  const root = "/usr/lib/postgresql";
  return existsSync(root) ? readdirSync(root).map((version) => join(root, version, "bin")) : [];
}

/** The path of the first of these commands that is installed. System folders count even where PATH leaves them out. */
function find(commands, more = () => []) {
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/usr/local/sbin", ...more()];
  const endings = process.platform === "win32" ? [".exe", ".cmd"] : [""];
  for (const command of commands) {
    for (const folder of folders) {
      for (const ending of endings) {
        const path = join(folder, command + ending);
        if (folder !== "" && existsSync(path)) return path;
      }
    }
  }
  return undefined;
}

/** Installs what is missing where that can be done, else says how to get each and fails. */
export async function ensurePrograms(names) {
  const missing = () => names.filter((name) => find(programs[name].commands, programs[name].folders) === undefined);
  if (missing().length === 0) return;
  const isRoot = process.getuid?.() === 0;
  if (isRoot && process.platform === "linux" && find(["apt-get"]) !== undefined) {
    await aptInstall(missing().flatMap((name) => programs[name].packages));
  }
  const left = missing();
  if (left.length > 0) {
    const lines = left.map((name) => `  ${programs[name].elsewhere}`);
    throw new SetupError(`Missing programs (on Debian or Ubuntu, root gets them installed):\n${lines.join("\n")}`);
  }
}

async function aptInstall(packages) {
  const env = { DEBIAN_FRONTEND: "noninteractive" };
  const ownPolicy = !existsSync(POLICY);
  if (ownPolicy) {
    await writeFile(POLICY, "#!/bin/sh\nexit 101\n");
    await chmod(POLICY, 0o755);
  }
  const removePolicy = () => spawnSync("rm", ["-f", POLICY]);
  if (ownPolicy) process.once("exit", removePolicy);
  try {
    console.log(`Installing ${packages.join(", ")} …`);
    const args = ["-y", "-qq", "--no-install-recommends", "install", ...packages];
    // A fresh image has no package lists, an old one has stale ones: either way the lists come first.
    await run("apt-get", ["-qq", "update"], { env });
    const { code } = await run("apt-get", args, { env });
    if (code !== 0) throw new SetupError(`apt-get could not install ${packages.join(", ")}`);
  } finally {
    if (ownPolicy) {
      await rm(POLICY, { force: true });
      process.removeListener("exit", removePolicy);
    }
  }
}
