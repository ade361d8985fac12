import type { Agent } from "./agent.ts";

/** Every agent the relay knows, those included whose session is lost and whose names are held. */
export class AgentDirectory {
  readonly #bySession = new Map<string, Agent>();
  readonly #current = new Map<string, Agent>();
  readonly #since = new Map<Agent, number>();
  readonly #perPrincipal = new Map<string, number>();

  get size(): number {
    return this.#bySession.size;
  }

  get all(): readonly Agent[] {
    return [...this.#bySession.values()];
  }

  /** When the agent said hello, by the wall clock. */
  sinceOf(agent: Agent): number {
    return this.#since.get(agent) ?? Date.now();
  }

  countOf(principal: string): number {
    return this.#perPrincipal.get(principal) ?? 0;
  }

  bySession(id: string): Agent | undefined {
    return this.#bySession.get(id);
  }

  /** The newest connection of one process on one slot. */
  currentOf(identity: { principal: string; instance: string; slot: number }): Agent | undefined {
    return this.#current.get(keyOf(identity));
  }

  add(agent: Agent): void {
    this.#bySession.set(agent.id, agent);
    this.#since.set(agent, Date.now());
    this.#current.set(keyOf(agent), agent);
    this.#perPrincipal.set(agent.principal, this.countOf(agent.principal) + 1);
  }

  /** False when it was not there. */
  remove(agent: Agent): boolean {
    if (!this.#bySession.delete(agent.id)) return false;
    this.#since.delete(agent);
    if (this.#current.get(keyOf(agent)) === agent) this.#current.delete(keyOf(agent));
    const left = this.countOf(agent.principal) - 1;
    if (left > 0) this.#perPrincipal.set(agent.principal, left);
    else this.#perPrincipal.delete(agent.principal);
    return true;
  }
}

function keyOf({ principal, instance, slot }: { principal: string; instance: string; slot: number }): string {
  return JSON.stringify([principal, instance, slot]);
}
