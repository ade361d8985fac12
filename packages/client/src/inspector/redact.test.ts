import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Redactor } from "./redact.ts";

const redactor = new Redactor(["Password", "x-secret"]);
const JSON_TYPE = ["Content-Type", "application/json"];

function rewrite(fields: string[], body: string): string | undefined {
  return redactor.body(fields, Buffer.from(body))?.toString();
}

describe("Redactor", () => {
  it("takes the values of fields, query parameters and form fields, whatever their case", () => {
    expect(redactor.fields(["X-SECRET", "hunter2", "X-Other", "kept"])).toEqual([
      "X-SECRET",
      expect.not.stringContaining("hunter2"),
      "X-Other",
      "kept",
    ]);
    expect(redactor.target("/a?password=hunter2&b=1&pass%77ord=hunter2")).not.toContain("hunter2");
    expect(redactor.target("/a?password=hunter2&b=1")).toContain("b=1");
    const form = rewrite(["content-type", "application/x-www-form-urlencoded"], "user=a&PASSWORD=hunter2");
    expect(form).toMatch(/^user=a&PASSWORD=/);
    expect(form).not.toContain("hunter2");
  });

  it("takes members of JSON at any depth, whatever their value, and leaves every other byte", () => {
    const text =
      '{ "a": [1e400, {"password" : {"x": ["hunter2"]}, "p\\u0061ssword": "hunter2"}],\n "n": 12345678901234567890, "t": "password" }';
    const rewritten = rewrite(JSON_TYPE, text) ?? "";
    expect(rewritten).not.toContain("hunter2");
    expect(rewritten).toContain('{ "a": [1e400, {"password" : "');
    expect(rewritten).toContain('],\n "n": 12345678901234567890, "t": "password" }');
    expect(JSON.parse(rewritten).t).toBe("password");
  });

  it("gives JSON for JSON, without the value and with all the others, whatever it is", () => {
    const key = fc.constantFrom("password", "PASSWORD", "a", 'q"\\', "päss");
    const { tree } = fc.letrec<{ tree: unknown }>((tie) => ({
      tree: fc.oneof(
        { maxDepth: 4 },
        fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.constant(null)),
        fc.array(tie("tree"), { maxLength: 3 }),
        fc.dictionary(key, tie("tree"), { maxKeys: 3 }),
      ),
    }));
    const strip = (value: unknown): unknown => {
      if (Array.isArray(value)) return value.map(strip);
      if (typeof value !== "object" || value === null) return value;
      return Object.fromEntries(
        Object.entries(value).map(([name, inner]) => [name, name.toLowerCase() === "password" ? "gone" : strip(inner)]),
      );
    };
    fc.assert(
      fc.property(tree, fc.constantFrom(0, 2), (value, indent) => {
        const rewritten: unknown = JSON.parse(rewrite(JSON_TYPE, JSON.stringify(value, null, indent)) ?? "");
        expect(strip(rewritten)).toEqual(strip(value));
        expect(JSON.stringify(rewritten)).not.toMatch(/"password":(?!"\W)/i);
      }),
    );
  });

  it("withholds what might have such a name and cannot be read", () => {
    expect(redactor.judge(["Content-Type", "application/json", "Content-Encoding", "gzip"], Buffer.from("x"))).toBe(
      "withhold",
    );
    expect(rewrite(JSON_TYPE, '{"password":')).toBeUndefined();
    expect(redactor.judge(["Content-Type", "image/png"], Buffer.from([137, 80]))).toBe("keep");
  });

  it("does nothing where nothing is to be redacted", () => {
    expect(new Redactor([]).isIdle).toBe(true);
  });
});
