import { readFileSync } from "node:fs";
import { Writable } from "node:stream";
import { describe, expect, it } from "vitest";
import { parseEdits } from "../packages/client/src/cli/edit-flags.ts";
import { runProgram } from "../packages/client/src/cli/program.ts";
import { parseFilterText } from "../packages/client/src/inspector/filter.ts";
import { parseHook } from "../packages/client/src/webhook/hooks.ts";

function page(name: string): string {
  return readFileSync(new URL(`../docs/${name}`, import.meta.url), "utf8");
}

async function help(...command: string[]): Promise<string> {
  let text = "";
  const stream = (): NodeJS.WriteStream =>
    new Writable({
      write(chunk: Buffer, _encoding, done) {
        text += chunk.toString("utf8");
        done();
      },
    }) as unknown as NodeJS.WriteStream;
  const code = await runProgram([...command, "--help"], {
    stdin: process.stdin,
    stdout: stream(),
    stderr: stream(),
    env: {},
    cwd: "/",
    stop: new AbortController().signal,
    onHangup: () => () => {},
  });
  expect(code).toBe(0);
  return text;
}

describe("docs/webhooks.md", () => {
  const text = page("webhooks.md");
  const env = { SECRET: "s", STRIPE_WEBHOOK_SECRET: "whsec_s" };

  it("has recipes that are understood, of the flag and of the file", () => {
    const hooks = [
      ...[...text.matchAll(/--verify-webhook '([^']+)'/g)].map((match) => match[1] ?? ""),
      ...[...text.matchAll(/--verify-webhook (stripe=\S+)/g)].map((match) => match[1] ?? ""),
      ...[...text.matchAll(/verify_webhook: \["([^"]+)"\]/g)].map((match) => match[1] ?? ""),
    ];
    expect(hooks).toHaveLength(4);
    for (const hook of hooks) expect(parseHook(hook, env).provider).toMatch(/^(?:stripe|hmac)$/);
  });

  it("names every provider there is", () => {
    let known = "";
    try {
      parseHook("nobody=x", {});
    } catch (error) {
      known = error instanceof Error ? error.message : "";
    }
    const names = (/there are (.*), hmac/.exec(known)?.[1] ?? "").split(", ");
    expect(names).toHaveLength(7);
    expect(names.filter((name) => !text.includes(`\`${name}\``))).toEqual([]);
  });
});

describe("docs/inspector.md", () => {
  const text = page("inspector.md");

  it("has edits and filters that are understood", () => {
    const edits = [...text.matchAll(/--edit ('[^']+'|\S+)/g)].map((match) => (match[1] ?? "").replaceAll("'", ""));
    expect(edits.length).toBeGreaterThan(6);
    const inPlace = edits.filter((edit) => !edit.includes("@") && !edit.endsWith("`;") && edit !== "body=`");
    expect(parseEdits(inPlace, "/")).toMatchObject({
      method: "PUT",
      target: "/v2/hooks",
      json: { "data.object.amount": 1000, "items[0].name": "Eve" },
      remove_headers: ["Cookie"],
    });
    const filter = /--filter '([^']+)'/.exec(text)?.[1] ?? "";
    expect(parseFilterText(filter)).toEqual({ method: "POST", status: "5xx", path: "/hooks/*" });
  });

  it.each([[["requests"]], [["requests", "show"]], [["requests", "export"]], [["replay"]]])(
    "has every option of ggrok %j that is not plain from its help",
    async (command) => {
      const options = [...(await help(...command)).matchAll(/^ {2}(?:-\w, )?(--[\w-]+)/gm)].map(
        (match) => match[1] ?? "",
      );
      expect(options.length).toBeGreaterThan(3);
      const plain = ["--help", "--tunnel"];
      expect(options.filter((option) => !plain.includes(option) && !text.includes(option))).toEqual([]);
    },
  );
});
