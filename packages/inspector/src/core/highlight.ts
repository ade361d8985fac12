import { type ParseOptions, parse } from "sugar-high/core";
import * as css from "sugar-high/lang/css";
import * as html from "sugar-high/lang/html";
import * as javascript from "sugar-high/lang/javascript";
import * as json from "sugar-high/lang/json";
import type { Language } from "./body-kind.ts";

/** A piece of one colour. */
export interface Token {
  readonly type: string;
  readonly text: string;
}

/** Characters above which text is shown plain: each piece is an element. */
const HIGHLIGHT_CHARS_MAX = 200_000;

const OPTIONS: Readonly<Record<Exclude<Language, "plain">, ParseOptions>> = {
  json,
  css,
  javascript: { ...javascript, tokenize: (code) => javascript.tokenize(code, undefined) },
  html: { ...html, tokenize: (code) => html.tokenize(code, { ...html }) },
};

/** Splits text into coloured pieces; joined they are the text again. Undefined: it is better shown plain. */
export function highlight(text: string, language: Language): Token[] | undefined {
  if (language === "plain" || text.length > HIGHLIGHT_CHARS_MAX) return undefined;
  const tokens: Token[] = [];
  for (const [i, line] of parse(text, OPTIONS[language]).lines.entries()) {
    if (i > 0) push(tokens, "space", "\n");
    for (const { type, value } of line.tokens) push(tokens, type, value);
  }
  return tokens.map(({ text: piece }) => piece).join("") === text ? tokens : undefined;
}

function push(tokens: Token[], type: string, text: string): void {
  const last = tokens.at(-1);
  if (last?.type === type || (last !== undefined && text.trim() === "")) {
    tokens[tokens.length - 1] = { type: last.type, text: last.text + text };
  } else tokens.push({ type, text });
}
