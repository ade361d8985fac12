import { stripVTControlCharacters } from "node:util";

const URL_WITH_PORT = /\bhttps?:\/\/(?:localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1?\])(?::(\d{1,5}))?(?![\w.:-])/i;
const WORDS = /\b(?:listen(?:ing|s)?|running|started|ready|serving|port)\b.*?(?:\bport\b|:)\s*:?\s*(\d{2,5})\b/i;

/** The port a line of a server's output says it listens on: first of all a URL of this machine, else `… port 3000`. */
export function findPort(line: string): number | undefined {
  const text = stripVTControlCharacters(line);
  const url = URL_WITH_PORT.exec(text);
  if (url !== null) return asPort(url[1] ?? (url[0].toLowerCase().startsWith("https") ? "443" : "80"));
  return asPort(WORDS.exec(text)?.[1]);
}

function asPort(digits: string | undefined): number | undefined {
  const port = Number(digits);
  return port >= 1 && port <= 65_535 ? port : undefined;
}
