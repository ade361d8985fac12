import { type MediaType, parseMediaType } from "./media-type.ts";
import { decodeText, isReadable } from "./text.ts";

/** Languages that can be highlighted. */
export type Language = "json" | "html" | "css" | "javascript" | "plain";

/** How a body is shown. */
export type BodyKind =
  | { readonly kind: "empty" }
  | { readonly kind: "json"; readonly text: string }
  | { readonly kind: "form"; readonly text: string }
  | { readonly kind: "multipart"; readonly boundary: string }
  | { readonly kind: "image"; readonly type: string }
  | { readonly kind: "text"; readonly text: string; readonly language: Language }
  | { readonly kind: "binary" };

/** Image types every browser shows. An SVG shown as an image runs no script and loads nothing. */
const IMAGE_TYPES = /^image\/(?:png|jpe?g|gif|webp|avif|bmp|svg\+xml|(?:x-icon|vnd\.microsoft\.icon))$/;
/** Where nothing says what a body is, this much of it is looked at. */
const SNIFF_BYTES = 4_096;

/** Decides by the declared type first, and by the bytes where it says nothing. */
export function bodyKind(contentType: string | undefined, bytes: Uint8Array): BodyKind {
  if (bytes.length === 0) return { kind: "empty" };
  const media = parseMediaType(contentType);
  const { type } = media;
  const text = (): string => decodeText(bytes, media.parameters.get("charset"));
  if (IMAGE_TYPES.test(type)) return { kind: "image", type };
  if (type === "application/x-www-form-urlencoded") return { kind: "form", text: text() };
  const boundary = type.startsWith("multipart/") ? media.parameters.get("boundary") : undefined;
  if (boundary !== undefined) return { kind: "multipart", boundary };
  if (isJsonType(type)) return asJson(text());
  const language = languageOf(media);
  if (language !== undefined) return { kind: "text", text: text(), language };
  return type === "" || type === "application/octet-stream" ? sniff(bytes) : readable(bytes);
}

/** What an undeclared body looks like. */
function sniff(bytes: Uint8Array): BodyKind {
  const type = imageByMagic(bytes);
  if (type !== undefined) return { kind: "image", type };
  const kind = readable(bytes);
  return kind.kind === "text" && /^\s*[[{]/.test(kind.text) ? asJson(kind.text) : kind;
}

function readable(bytes: Uint8Array): BodyKind {
  const start = bytes.subarray(0, SNIFF_BYTES);
  return isReadable(start, bytes.length > SNIFF_BYTES)
    ? { kind: "text", text: decodeText(bytes), language: "plain" }
    : { kind: "binary" };
}

function asJson(text: string): BodyKind {
  try {
    JSON.parse(text);
    return { kind: "json", text };
  } catch {
    // Broken, or one value a line.
    return { kind: "text", text, language: "json" };
  }
}

function isJsonType(type: string): boolean {
  return type === "application/json" || type === "text/json" || type.endsWith("+json");
}

function languageOf({ type }: MediaType): Language | undefined {
  if (/^(?:application\/(?:x-)?(?:ndjson|jsonl|json-seq|json-lines))$/.test(type)) return "json";
  if (type === "text/html" || type.endsWith("/xml") || type.endsWith("+xml")) return "html";
  if (type === "text/css") return "css";
  if (/^(?:text|application)\/(?:x-)?(?:javascript|ecmascript|typescript)$/.test(type)) return "javascript";
  if (type.startsWith("text/") || type === "application/graphql" || type === "application/yaml") return "plain";
  return undefined;
}

function imageByMagic(bytes: Uint8Array): string | undefined {
  const start = String.fromCharCode(...bytes.subarray(0, 12));
  if (start.startsWith("\x89PNG\r\n")) return "image/png";
  if (start.startsWith("\xff\xd8\xff")) return "image/jpeg";
  if (start.startsWith("GIF8")) return "image/gif";
  if (start.startsWith("RIFF") && start.endsWith("WEBP")) return "image/webp";
  return undefined;
}
