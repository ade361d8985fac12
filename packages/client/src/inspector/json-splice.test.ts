import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { setJsonValue } from "./json-splice.ts";

describe("setJsonValue", () => {
  const text = '{\n  "id": 12345678901234567890,\n  "a.b": {"c": [1, "two]", {"d": null}]},\n  "e": "\\"}"\n}\n';

  it.each<[string, unknown, string, string]>([
    ["id", 1, "12345678901234567890", "1"],
    ["e", "x\n", '"\\"}"', '"x\\n"'],
    ["/a.b/c/0", 7, "[1,", "[7,"],
    ["/a.b/c/2/d", [true], "null", "[true]"],
    ["/a.b/c/3", 4, '{"d": null}]', '{"d": null},4]'],
    ["new", {}, '"\\"}"\n', '"\\"}","new":{}\n'],
  ])("changes %s and nothing else", (path, value, before, after) => {
    expect(setJsonValue(text, path, value)).toBe(text.replace(before, () => after));
  });

  it("changes a list at the top, and adds to what is empty", () => {
    expect(setJsonValue(" [ [ ] , { } ] ", "[1].a", 1)).toBe(' [ [ ] , {"a":1 } ] ');
    expect(setJsonValue("[[ ]]", "[0][0]", 1)).toBe("[[1 ]]");
  });

  it("changes the key that counts when there are two", () => {
    expect(setJsonValue('{"a":1,"a":2}', "a", 3)).toBe('{"a":1,"a":3}');
  });

  it.each([
    ["a.b", /no "a"/],
    ["id.x", /neither an object nor a list/],
    ["/a.b/c/9", /no element 9/],
    ["/a.b/c/x", /no element x/],
    ["", /no path/],
    ["a[", /no path/],
  ])("says what is wrong with the path %j", (path, message) => {
    expect(() => setJsonValue(text, path, 1)).toThrow(message);
  });

  it("says that a body is no JSON", () => {
    expect(() => setJsonValue("<a>", "a", 1)).toThrow("the body is no JSON");
  });

  it("means the same as setting it in the value", () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.string(), fc.jsonValue()),
        fc.string(),
        fc.jsonValue(),
        fc.nat(3),
        (object, key, value, indent) => {
          const pointer = `/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`;
          const edited = JSON.parse(setJsonValue(JSON.stringify(object, null, indent), pointer, value)) as unknown;
          const wanted: unknown = JSON.parse(
            JSON.stringify(Object.fromEntries([...Object.entries(object), [key, value]])),
          );
          expect(edited).toEqual(wanted);
        },
      ),
    );
  });
});
