import type { BindRights, RightsQuestion } from "../registry/rights.ts";
import { FULL_GRANT, type Grant, type Scope } from "../store/grant.ts";
import { compileNameGlob, compilePathGlob } from "./glob.ts";

/** What a name or a path is held against. */
interface Globs {
  readonly names: readonly ((text: string) => boolean)[];
  readonly paths: readonly ((path: string) => boolean)[];
}

const compileGlobs = ({ names, paths }: Grant): Globs => ({
  names: names.map(compileNameGlob),
  paths: paths.map(compilePathGlob),
});

/** Of every agent without a token. */
const FULL_GLOBS = compileGlobs(FULL_GRANT);

/** Somebody the relay knows, and what it may do. */
export class Principal implements BindRights {
  /** Owner of names, as stored with them. It may be logged. */
  readonly id: string;
  /** What the operator called it. */
  readonly label: string;
  readonly #grant: Grant;
  readonly #globs: Globs;
  #isRevoked = false;

  constructor(id: string, label: string, grant: Grant = FULL_GRANT) {
    this.id = id;
    this.label = label;
    this.#grant = grant;
    this.#globs = grant === FULL_GRANT ? FULL_GLOBS : compileGlobs(grant);
  }

  /** From here on it may do nothing: the token was revoked or has expired. False when that was so before. */
  revoke(): boolean {
    if (this.#isRevoked) return false;
    this.#isRevoked = true;
    return true;
  }

  /** Whether the principal has a scope, and for a named thing (a TCP tunnel to connect to) whether its globs name it. */
  may(scope: Scope, name?: string): boolean {
    if (this.#isRevoked || !this.#grant.scopes.includes(scope)) return false;
    return name === undefined || this.#matchesName(name.toLowerCase());
  }

  /** Whether the principal may publish there. */
  mayBind(question: RightsQuestion): boolean {
    const { port, path } = question;
    return (
      this.may("bind") &&
      this.#grant.kinds.includes(question.kind) &&
      question.names.some((name) => this.#matchesName(name)) &&
      (path === undefined || this.#globs.paths.some((matches) => matches(path === "" ? "/" : path))) &&
      (port === undefined || this.#grant.ports.some(([first, last]) => port >= first && port <= last))
    );
  }

  get nameGlobs(): readonly string[] {
    return this.#grant.names;
  }

  get summary(): string {
    const { kinds, names, paths } = this.#grant;
    return `${kinds.join(" and ")} tunnels at ${names.join(", ")}${paths.includes("/**") ? "" : ` below ${paths.join(", ")}`}`;
  }

  #matchesName(name: string): boolean {
    return this.#globs.names.some((matches) => matches(name));
  }
}
