import { type InspectorSource, onlineTunnels } from "./agent-routes.ts";

/** One file of the page. */
export interface PageFile {
  readonly type: string;
  readonly content: string | Buffer;
}

/** The built page: `index.html` and what it loads from `/assets/`. */
export interface Page {
  readonly index: string;
  /** @param name what stands behind `/assets/` */
  asset(name: string): PageFile | undefined;
}

const TYPES: Readonly<Record<string, string>> = {
  "page.js": "text/javascript; charset=utf-8",
  "page.css": "text/css; charset=utf-8",
};

/** The page as the local API serves it. */
export async function loadPage(): Promise<Page | undefined> {
  // Half of what the agent's code weighs otherwise: evaluated when somebody looks at it.
  const { readBuiltPage } = await import("./built-page.ts");
  const files = await readBuiltPage();
  if (files === undefined) return undefined;
  const assets = new Map(Object.entries(files).filter(([name]) => name !== "index.html"));
  return {
    index: files["index.html"],
    asset: (name) => {
      const content = assets.get(name);
      return content === undefined ? undefined : { type: TYPES[name] ?? "application/octet-stream", content };
    },
  };
}

/** The page with the token of this run, which it sends with what changes something. */
export function renderPage(page: Page, token: string): string {
  return page.index.replace(/(<meta name="ggrok-token" content=")[^"]*(")/, `$1${token}$2`);
}

/** What is shown where the page has not been built. */
export function renderPlainPage(source: InspectorSource): string {
  const rows = onlineTunnels(source).map(
    (t) =>
      `<li><a href="${escapeHtml(t.url)}" rel="noreferrer">${escapeHtml(t.url)}</a> → ${escapeHtml(t.target)}</li>`,
  );
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>ggrok</title>
<h1>ggrok</h1><p>${source.isOnline() ? "Online" : "Not online"}, relay ${escapeHtml(source.relay)}</p><ul>${rows.join("")}</ul>
<p>For scripts: <a href="/api/tunnels">/api/tunnels</a>, <a href="/api/requests/http">/api/requests/http</a>, <a href="/api/status">/api/status</a></p></html>
`;
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}
