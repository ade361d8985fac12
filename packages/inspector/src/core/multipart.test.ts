import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseMultipart } from "./multipart.ts";

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

function joined(...parts: (string | Uint8Array)[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...(typeof part === "string" ? encode(part) : part)]));
}

describe("parseMultipart", () => {
  it("finds fields and files, without preamble and epilogue", () => {
    const body = encode(
      [
        'ignored\r\n--b\r\nContent-Disposition: form-data; name="a; b"\r\n\r\none\r\n',
        '--b\r\ncontent-disposition: form-data; name=f; filename="x\\"y.txt"\r\nContent-Type: text/plain\r\n\r\ntwo\r\nlines\r\n',
        "--b--\r\nignored",
      ].join(""),
    );
    const parts = parseMultipart(body, "b").map((part) => ({ ...part, bytes: decode(part.bytes) }));
    expect(parts).toEqual([
      { name: "a; b", filename: undefined, contentType: undefined, bytes: "one" },
      { name: "f", filename: 'x"y.txt', contentType: "text/plain", bytes: "two\r\nlines" },
    ]);
  });

  it("gives what there is of a body that ends early", () => {
    expect(parseMultipart(encode('--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nhal'), "b")).toMatchObject([
      { name: "a", bytes: encode("hal") },
    ]);
    expect(parseMultipart(encode("nothing of it"), "b")).toEqual([]);
  });

  it("reads bare line feeds, and takes the boundary inside of a line for content", () => {
    const [part] = parseMultipart(encode("--b\nx: y\n\na --b\n--b--\n"), "b");
    expect(decode(part?.bytes ?? encode("?"))).toBe("a --b");
  });

  it("gives any bytes back as they were sent", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { minLength: 1, maxLength: 5 }), (contents) => {
        const head = 'content-disposition: form-data; name="x"\r\n\r\n';
        const parts = contents.flatMap((content) => ["--boundary-of-this-test\r\n", head, content, "\r\n"]);
        const body = joined(...parts, "--boundary-of-this-test--\r\n");
        const found = parseMultipart(body, "boundary-of-this-test");
        expect(found.map(({ bytes }) => [...bytes])).toEqual(contents.map((content) => [...content]));
      }),
    );
  });

  it("survives any body", () => {
    fc.assert(
      fc.property(fc.string(), fc.string({ minLength: 1 }), (text, boundary) => {
        parseMultipart(encode(text), boundary);
        parseMultipart(encode(`--${boundary}\r\n${text}`), boundary);
      }),
    );
  });
});
