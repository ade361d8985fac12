import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { createSecureContext, type SecureContext } from "node:tls";
import { RELAY_LIMITS } from "../limits.ts";

/** Where one certificate, its chain behind it, and its key are. */
export interface CertificateFiles {
  readonly cert: string;
  readonly key: string;
}

/** The text of a certificate and of its key. */
export interface Pem {
  readonly cert: string;
  readonly key: string;
  readonly minVersion: "TLSv1.2";
}

interface Loaded {
  readonly pem: Pem;
  readonly leaf: X509Certificate;
  readonly context: SecureContext;
}

/** What the files come to, and what happened to them. */
export interface CertificatesOptions {
  readonly files: readonly CertificateFiles[];
  /** New certificates are in use. */
  onReload(subjects: readonly string[]): void;
  /** The files have changed into something that cannot be used; the certificates before stay. */
  onFailure(error: Error): void;
}

/**
 * The relay's own certificates. A visitor gets the one that names the host it asks for, the first when none does. Changed files
 * are used for new connections; those that are open do not notice.
 */
export class Certificates {
  readonly #o: CertificatesOptions;
  #loaded: readonly Loaded[];
  #signature: string;
  readonly #listeners: (() => void)[] = [];
  #timer: NodeJS.Timeout | undefined;

  /** @throws Error naming the file that cannot be used */
  constructor(options: CertificatesOptions) {
    this.#o = options;
    this.#signature = this.#sign();
    this.#loaded = options.files.map(load);
  }

  /** Starts to look for changes. They are polled for: a mounted secret is replaced by moving links, which no watch sees. */
  start(): void {
    this.#timer ??= setInterval(() => this.#check(), RELAY_LIMITS.certificateCheckMs).unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  /** The certificate for visitors who name no host, and for hosts that no certificate names. */
  get first(): Pem {
    const [first] = this.#loaded;
    if (first === undefined) throw new Error("there is no certificate");
    return first.pem;
  }

  /** The certificate that names this host; undefined when none does. */
  contextFor(servername: string): SecureContext | undefined {
    return this.#loaded.find(({ leaf }) => leaf.checkHost(servername) !== undefined)?.context;
  }

  /** Calls when other certificates are in use. */
  subscribe(listener: () => void): void {
    this.#listeners.push(listener);
  }

  #check(): void {
    const signature = this.#sign();
    if (signature === this.#signature) return;
    this.#signature = signature;
    try {
      this.#loaded = this.#o.files.map(load);
      for (const listener of this.#listeners) listener();
      this.#o.onReload(this.#loaded.map(({ leaf }) => leaf.subjectAltName ?? leaf.subject));
    } catch (error) {
      // Half of a pair is often there before the other; the next change brings the rest.
      this.#o.onFailure(error instanceof Error ? error : new Error(String(error)));
    }
  }

  /** Changes whenever one of the files does. */
  #sign(): string {
    return this.#o.files.flatMap(({ cert, key }) => [signFile(cert), signFile(key)]).join();
  }
}

function signFile(path: string): string {
  try {
    const { ino, size, mtimeMs } = statSync(path);
    return `${String(ino)}:${String(size)}:${String(mtimeMs)}`;
  } catch {
    return "none";
  }
}

function load({ cert, key }: CertificateFiles): Loaded {
  const certText = read(cert);
  const keyText = read(key);
  const leaf = parse(cert, () => new X509Certificate(certText));
  const privateKey = parse(key, () => createPrivateKey(keyText));
  if (!leaf.checkPrivateKey(privateKey)) throw new Error(`${key} is not the key of ${cert}`);
  const pem = { cert: certText, key: keyText, minVersion: "TLSv1.2" } as const;
  return { pem, leaf, context: parse(cert, () => createSecureContext(pem)) };
}

function read(path: string): string {
  return parse(path, () => readFileSync(path, "utf8"));
}

function parse<T>(path: string, make: () => T): T {
  try {
    return make();
  } catch (cause) {
    throw new Error(`${path} cannot be used: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}
