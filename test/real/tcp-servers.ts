import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chownSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { delimiter, join } from "node:path";
import { freePort } from "../e2e/cli-world.ts";
import { within } from "../harness/deadline.ts";

/** What a database server needs on a busy machine. */
const START_MS = 60_000;
/** A port that was free may be taken a moment later. */
const ATTEMPTS = 3;
/** `nobody`: databases refuse to run as root. */
const UNPRIVILEGED = 65_534;

/** A server that was not written here, on a loopback port of its own. */
interface Server {
  readonly port: number;
}

/** Login of the database servers. */
export const DATABASE_LOGIN = { user: "ann", password: "s3cret" };

/** Other people's TCP servers, each with a folder of its own; all of it is gone at the end. */
export class TcpServers implements AsyncDisposable {
  readonly #children: ChildProcess[] = [];
  readonly #folders: string[] = [];

  async postgres(): Promise<Server> {
    const folder = this.#folder({ isForDatabase: true });
    const data = join(folder, "data");
    const initdb = ["-D", data, "-U", DATABASE_LOGIN.user, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"];
    await this.#runAsDatabase("initdb", initdb, folder);
    const args = (port: number): string[] => ["-D", data, "-p", `${port}`, "-h", "127.0.0.1", "-k", folder, "-F"];
    return await this.#start("postgres", args, /ready to accept connections/, folder);
  }

  async mariadb(): Promise<Server> {
    const folder = this.#folder({ isForDatabase: true });
    const [data, init] = [join(folder, "data"), join(folder, "init.sql")];
    const { user, password } = DATABASE_LOGIN;
    writeFileSync(init, `CREATE USER '${user}'@'%' IDENTIFIED BY '${password}';\nGRANT ALL ON *.* TO '${user}'@'%';\n`);
    const install = ["--no-defaults", `--datadir=${data}`, "--auth-root-authentication-method=normal"];
    await this.#runAsDatabase("mariadb-install-db", install, folder);
    const fixed = ["--no-defaults", `--datadir=${data}`, `--init-file=${init}`, "--bind-address=127.0.0.1"];
    const places = [`--socket=${join(folder, "socket")}`, `--pid-file=${join(folder, "pid")}`, "--skip-name-resolve"];
    const args = (port: number): string[] => [...fixed, ...places, `--port=${port}`];
    return await this.#start("mariadbd", args, /ready for connections/, folder);
  }

  async redis(): Promise<Server> {
    const folder = this.#folder();
    const args = (port: number): string[] => [
      "--port",
      `${port}`,
      "--bind",
      "127.0.0.1",
      "--save",
      "",
      "--dir",
      folder,
    ];
    return await this.#start("redis-server", args, /Ready to accept connections/i, folder);
  }

  /** OpenSSH's server for this user, who enters with `key`. */
  async sshd(): Promise<Server & { readonly key: string }> {
    const folder = this.#folder();
    const [hostKey, key] = [join(folder, "host-key"), join(folder, "user-key")];
    for (const path of [hostKey, key]) await this.#run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", path]);
    // As root sshd insists on this folder, which the package's service would have made.
    if (userInfo().uid === 0) mkdirSync("/run/sshd", { recursive: true, mode: 0o755 });
    const lines = [
      "StrictModes no",
      "PermitRootLogin yes",
      "PidFile none",
      "UsePAM no",
      "Subsystem sftp internal-sftp",
    ];
    const config = join(folder, "sshd.conf");
    const text = [...lines, `HostKey ${hostKey}`, `AuthorizedKeysFile ${key}.pub`, "ListenAddress 127.0.0.1", ""];
    writeFileSync(config, text.join("\n"));
    const args = (port: number): string[] => ["-D", "-e", "-f", config, "-p", `${port}`];
    return { ...(await this.#start("sshd", args, /Server listening/, folder, { asDatabase: false })), key };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const exited = once(child, "exit");
      // No patience: nothing of it is kept. But PostgreSQL itself must give its shared memory back, which outlives processes.
      child.kill(child.spawnfile.endsWith("/postgres") ? "SIGQUIT" : "SIGKILL");
      await exited;
    }
    for (const folder of this.#folders)
      rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }

  #folder(o: { isForDatabase?: boolean } = {}): string {
    const folder = mkdtempSync(join(tmpdir(), "ggrok-tcp-server-"));
    if (o.isForDatabase === true && userInfo().uid === 0) chownSync(folder, UNPRIVILEGED, UNPRIVILEGED);
    this.#folders.push(folder);
    return folder;
  }

  async #start(
    program: string,
    args: (port: number) => string[],
    ready: RegExp,
    folder: string,
    { asDatabase = true } = {},
  ): Promise<Server> {
    let output = "";
    for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
      const port = await freePort();
      const owner = asDatabase && program !== "redis-server" ? unprivileged() : {};
      const child = spawn(findProgram(program), args(port), {
        cwd: folder,
        stdio: ["ignore", "pipe", "pipe"],
        ...owner,
      });
      this.#children.push(child);
      output = "";
      const isReady = new Promise<boolean>((resolve) => {
        const hear = (text: Buffer): void => {
          output += text.toString();
          if (ready.test(output)) resolve(true);
        };
        child.stdout.on("data", hear);
        child.stderr.on("data", hear);
        child.once("exit", () => resolve(false));
      });
      if (await within(`${program} to be ready`, isReady, START_MS)) return { port };
    }
    throw new Error(`${program} did not start: ${output}`);
  }

  #runAsDatabase(program: string, args: readonly string[], folder: string): Promise<void> {
    return this.#run(program, args, { cwd: folder, ...unprivileged() });
  }

  async #run(program: string, args: readonly string[], options: { cwd?: string; uid?: number } = {}): Promise<void> {
    const child = spawn(findProgram(program), args, { stdio: ["ignore", "ignore", "pipe"], ...options });
    let errors = "";
    child.stderr.on("data", (text: Buffer) => {
      errors += text.toString();
    });
    const [code] = (await within(program, once(child, "close"), START_MS)) as [number | null];
    if (code !== 0) throw new Error(`${program}: ${errors}`);
  }
}

function unprivileged(): { uid?: number; gid?: number } {
  return userInfo().uid === 0 ? { uid: UNPRIVILEGED, gid: UNPRIVILEGED } : {};
}

/** Full path, since sshd refuses any other and Debian keeps servers out of PATH. */
function findProgram(program: string): string {
  const postgres = "/usr/lib/postgresql";
  const versions = existsSync(postgres) ? readdirSync(postgres).map((version) => join(postgres, version, "bin")) : [];
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/usr/local/sbin", ...versions];
  const found = folders.map((folder) => join(folder, program)).find((path) => existsSync(path));
  if (found === undefined) throw new Error(`${program} is not installed`);
  return found;
}
