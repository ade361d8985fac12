/** What a POSIX shell takes as it is. */
const PLAIN = /^[A-Za-z0-9_./:=@%+,-]+$/;
/** What stands between single quotes unharmed, on a terminal too. */
const QUOTABLE = /^[\t\n\x20-\x7e]*$/;

/**
 * Writes bytes as one word of a shell. Text is put between single quotes, which every POSIX shell reads; other bytes need
 * `$'…'`, which bash, zsh and ksh know.
 *
 * @param bytes one character is one byte; no shell takes U+0000
 */
export function quoteForShell(bytes: string): string {
  if (PLAIN.test(bytes)) return bytes;
  if (QUOTABLE.test(bytes)) return `'${bytes.replaceAll("'", "'\\''")}'`;
  const utf8 = readableText(bytes);
  const escaped = [...(utf8 ?? bytes)].map((character) => escapeCharacter(character, utf8 !== undefined)).join("");
  return utf8 !== undefined && !hasControls(utf8) ? `'${utf8.replaceAll("'", "'\\''")}'` : `$'${escaped}'`;
}

/** The text that bytes are in UTF-8; undefined when they are none. */
function readableText(bytes: string): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Buffer.from(bytes, "latin1"));
  } catch {
    return undefined;
  }
}

/** Characters that a terminal would act upon, or that a reader does not see. */
const INVISIBLE =
  /[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/u;

function hasControls(text: string): boolean {
  return INVISIBLE.test(text);
}

function escapeCharacter(character: string, isText: boolean): string {
  if (character === "'" || character === "\\") return `\\${character}`;
  if (character === "\n") return "\\n";
  if (character === "\r") return "\\r";
  if (character === "\t") return "\\t";
  if (/^[\x20-\x7e]$/.test(character)) return character;
  if (isText && !INVISIBLE.test(character)) return character;
  const bytes = Buffer.from(character, isText ? "utf8" : "latin1");
  // Octal has three digits at most, so that a digit behind it is not taken for one of its own.
  return [...bytes].map((byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("");
}
