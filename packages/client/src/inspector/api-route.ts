import type { IncomingMessage } from "node:http";
import type { HttpAnswer } from "./http-answer.ts";

/** One call of the local API that a route takes. */
export interface ApiCall {
  readonly request: IncomingMessage;
  readonly answer: HttpAnswer;
  readonly query: URLSearchParams;
  /** What the route's path has caught, decoded. */
  readonly parts: readonly string[];
}

/** What the local API does at a path. */
export interface Route {
  readonly method: "GET" | "POST" | "DELETE";
  /** Path with `*` for one segment. */
  readonly path: string;
  /** May be read without the token wherever the API listens: it tells nothing but that the agent is online. */
  readonly isOpen?: boolean;
  run(call: ApiCall): void | Promise<void>;
}

/** @returns what stands for the stars; undefined when the path is another */
export function matchPath(pattern: string, path: string): string[] | undefined {
  const wanted = pattern.split("/");
  const given = path.replace(/(?<=.)\/$/, "").split("/");
  if (wanted.length !== given.length) return undefined;
  const parts: string[] = [];
  for (const [i, segment] of wanted.entries()) {
    const text = given[i] ?? "";
    if (segment !== "*") {
      if (segment !== text) return undefined;
      continue;
    }
    try {
      parts.push(decodeURIComponent(text));
    } catch {
      return undefined;
    }
  }
  return parts;
}
