import type { HttpOpenHead } from "@ggrok/protocol";

/**
 * How an exchange reaches the app: `fast` through undici, which costs a third less but cannot carry everything exactly;
 * `full` through node:http, which can; `upgrade` through node:http and then as bytes.
 */
export type ForwardPath = "fast" | "full" | "upgrade";

/** Methods for which undici adds `content-length: 0` of its own accord, or which mean something else on a connection. */
const METHODS_FOR_FULL: ReadonlySet<string> = new Set([
  "POST",
  "PUT",
  "PATCH",
  "QUERY",
  "PROPFIND",
  "PROPPATCH",
  "CONNECT",
]);

/**
 * Chooses by the head alone. undici writes Content-Length last and in lower case, so whatever has a body takes the full path;
 * so does what undici refuses: Expect, two Host fields, the asterisk form, hop-by-hop fields.
 */
export function choosePath(head: HttpOpenHead, isWhole: boolean): ForwardPath {
  if (head.kind === "upgrade") return "upgrade";
  if (!isWhole || METHODS_FOR_FULL.has(head.method) || head.target === "*") return "full";
  const { fields } = head;
  let hasHost = false;
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] ?? "";
    // The length decides for nearly every field, so that only look-alikes are compared letter by letter.
    switch (name.length) {
      case 4:
        if (name.toLowerCase() !== "host") break;
        if (hasHost) return "full";
        hasHost = true;
        break;
      case 2:
      case 6:
      case 7:
      case 10:
      case 14:
      case 16:
      case 17:
        if (NAMES_FOR_FULL.has(name.toLowerCase())) return "full";
        break;
      default:
        break;
    }
  }
  return hasHost ? "fast" : "full";
}

const NAMES_FOR_FULL: ReadonlySet<string> = new Set([
  "te",
  "expect",
  "trailer",
  "upgrade",
  "connection",
  "keep-alive",
  "content-length",
  "proxy-connection",
  "transfer-encoding",
]);
