import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** A key and the certificates that go with it, PEM. */
export interface Identity {
  readonly key: string;
  readonly cert: string;
}

/** An authority nobody else knows, made by openssl in a folder of the test's. */
export class PrivateCa {
  readonly #folder: string;
  /** PEM file for `--ca`, `curl --cacert` and others. */
  readonly path: string;
  #made = 0;

  private constructor(folder: string) {
    this.#folder = folder;
    this.path = join(folder, "ca.pem");
  }

  static async create(folder: string, name = "Test Authority"): Promise<PrivateCa> {
    const ca = new PrivateCa(folder);
    await run("openssl", [
      ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"],
      ...["-subj", `/O=${name}/CN=${name}`, "-keyout", join(folder, "ca.key"), "-out", ca.path],
    ]);
    return ca;
  }

  /** A certificate for these names and addresses. @param o.days -1: it has expired */
  async issue(names: readonly string[], o: { days?: number } = {}): Promise<Identity> {
    const base = join(this.#folder, `leaf-${this.#made++}`);
    const [key, csr, cert, extensions] = [`${base}.key`, `${base}.csr`, `${base}.pem`, `${base}.ext`];
    const san = names.map((name) => (/^[\d.:]+$/.test(name) ? `IP:${name}` : `DNS:${name}`)).join(",");
    await writeFile(extensions, `subjectAltName=${san}\nextendedKeyUsage=serverAuth\n`);
    await run("openssl", [
      ...["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"],
      ...["-subj", `/CN=${names[0] ?? "leaf"}`, "-keyout", key, "-out", csr],
    ]);
    await run("openssl", [
      ...["x509", "-req", "-in", csr, "-CA", this.path, "-CAkey", join(this.#folder, "ca.key"), "-CAcreateserial"],
      ...["-days", String(o.days ?? 30), "-extfile", extensions, "-out", cert],
    ]);
    return { key: await readFile(key, "utf8"), cert: await readFile(cert, "utf8") };
  }
}
