import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { App, freePort, Place, RelayProcess } from "./cli-world.ts";

const TOKEN = "a-token-of-thirty-two-characters";

/** What a first user does wrong, and what stands in the last word about it: exit code, error code, what to do. */
interface Mistake {
  readonly what: string;
  readonly args: (places: { relay: RelayProcess; stranger: App; unused: number }) => readonly string[];
  readonly exit: number;
  readonly code: string;
  readonly nextStep: RegExp;
}

const MISTAKES: readonly Mistake[] = [
  { what: "no relay is set", args: () => [], exit: 3, code: "CONFIG_INVALID", nextStep: /ggrok login RELAY/ },
  {
    what: "the configuration has a typing error",
    args: () => ["--config", "typo.yml"],
    exit: 3,
    code: "CONFIG_INVALID",
    nextStep: /typo\.yml:1: unknown key "relai"/,
  },
  {
    what: "there is no token",
    args: ({ relay }) => ["--relay", relay.origin],
    exit: 4,
    code: "TOKEN_REFUSED",
    nextStep: /ggrok login RELAY/,
  },
  {
    what: "the token is wrong",
    args: ({ relay }) => ["--relay", relay.origin, "--authtoken", "mistyped"],
    exit: 4,
    code: "TOKEN_REFUSED",
    nextStep: /ggrok login RELAY/,
  },
  {
    what: "the name is taken",
    args: ({ relay }) => ["--relay", relay.origin, "--authtoken", TOKEN, "--url", "taken"],
    exit: 5,
    code: "NAME_TAKEN",
    nextStep: /choose another name/,
  },
  {
    what: "the name is not one of this relay's",
    args: ({ relay }) => ["--relay", relay.origin, "--authtoken", TOKEN, "--url", "no name"],
    exit: 5,
    code: "NAME_NOT_ALLOWED",
    nextStep: /letters, digits and hyphens/,
  },
  {
    what: "nothing listens where the relay should be",
    args: ({ unused }) => ["--relay", `http://localhost:${unused}`, "--no-retry"],
    exit: 6,
    code: "RELAY_UNREACHABLE",
    nextStep: /Check the relay's address/,
  },
  {
    what: "the relay does not speak TLS",
    args: ({ relay }) => ["--relay", `localhost:${relay.port}`, "--no-retry"],
    exit: 6,
    code: "RELAY_UNREACHABLE",
    nextStep: /is written http:\/\/localhost/,
  },
  {
    what: "another program stands where the relay should be",
    args: ({ stranger }) => ["--relay", `http://localhost:${stranger.port}`, "--no-retry"],
    exit: 6,
    code: "RELAY_UNREACHABLE",
    nextStep: /no ggrok relay there/,
  },
  {
    what: "the app does not run, with --wait",
    args: ({ relay }) => ["--relay", relay.origin, "--authtoken", TOKEN, "--wait=50ms"],
    exit: 7,
    code: "APP_NOT_READY",
    nextStep: /Start the app/,
  },
];

describe("a first user's mistake", () => {
  let relay: RelayProcess;
  let stranger: App;
  let holders: Place;

  beforeAll(async () => {
    relay = await RelayProcess.start(["--domain", "localhost", "--token", TOKEN]);
    stranger = await App.start((_request, response) => response.writeHead(404).end());
    holders = new Place();
    const holder = holders.ggrok(["http", "--relay", relay.origin, "--authtoken", TOKEN, "--url", "taken", "3000"]);
    disposals.push(() => holder[Symbol.asyncDispose]());
    await holder.line();
  });
  const disposals: (() => Promise<void>)[] = [];
  afterAll(async () => {
    for (const dispose of disposals) await dispose();
    await holders[Symbol.asyncDispose]();
    await stranger[Symbol.asyncDispose]();
    await relay[Symbol.asyncDispose]();
  });

  it.each(MISTAKES)("ends with $exit and $code, says what to do, and is an event: $what", async (mistake) => {
    await using place = new Place();
    writeFileSync(join(place.cwd, "typo.yml"), "relai: x\n");
    const unused = await freePort();
    await using agent = place.ggrok(["http", "--json", ...mistake.args({ relay, stranger, unused }), String(unused)]);
    expect(await agent.exited).toBe(mistake.exit);
    const code = `ERR_GGROK_${mistake.code}`;
    const lastWord = agent.stderr.slice(agent.stderr.lastIndexOf("ggrok: "));
    expect(lastWord).toMatch(mistake.nextStep);
    expect(lastWord.trimEnd().endsWith(` (${code})`)).toBe(true);
    const errors = agent.events("error");
    expect(errors).toEqual([{ event: "error", code, message: expect.any(String) }]);
    expect(lastWord).toContain(String(errors[0]?.["message"]));
  });
});
