import { RELAY_LIMITS } from "../limits.ts";
import type { Member, Owner } from "./endpoint.ts";

/** Asks the holders of a place that were not asked yet whether they live, all at once, and notes what they answered. */
export async function probeOwners(members: readonly Member[], answers: Map<Owner, boolean>): Promise<void> {
  await Promise.all(
    members.map(async ({ owner }) => {
      if (owner.isAway || answers.has(owner)) return;
      const answered = await owner.session.ping(RELAY_LIMITS.holderPingTimeoutMs).then(
        () => true,
        () => false,
      );
      answers.set(owner, answered);
    }),
  );
}
