/** Writes tokens and reservations into a data directory without end, and says after each that it is written. */
import { writeSync } from "node:fs";
import { argv } from "node:process";
import { digestToken, makeToken, tokenId } from "../../packages/server/src/auth/token.ts";
import { FULL_GRANT } from "../../packages/server/src/store/grant.ts";
import { SqliteStore } from "../../packages/server/src/store/sqlite.ts";

const [, , dataDir = "", writer = "0"] = argv;
const store = new SqliteStore(dataDir);
for (let i = 0; ; i += 1) {
  const now = Date.now();
  const digest = digestToken(makeToken());
  const name = `${writer}-${String(now)}-${String(i)}`;
  const id = tokenId(digest);
  const isAdded = store.addToken({
    id,
    name,
    digest,
    grant: FULL_GRANT,
    createdAt: now,
    expiresAt: undefined,
    lastUsedAt: undefined,
  });
  if (isAdded) writeSync(1, `token ${id}\n`);
  // Both writers want the same places: whoever is told that it has one must have it ever after.
  const place = `place-${String(i)}`;
  const owner = `token:${writer}`;
  const found = store.reserve({ place, owner, source: "claimed", now, expiresAt: undefined });
  writeSync(1, `place ${place} ${found.owner}\n`);
}
