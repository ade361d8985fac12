/** Puts text on the clipboard, also where the page is not on loopback and the browser calls that insecure. */
export async function copyToClipboard(text: string): Promise<void> {
  if (globalThis.isSecureContext) {
    await navigator.clipboard.writeText(text);
    return;
  }
  const field = document.createElement("textarea");
  field.value = text;
  field.readOnly = true;
  document.body.append(field);
  field.select();
  const isDone = document.execCommand("copy");
  field.remove();
  if (!isDone) throw new Error("The browser did not let the page copy.");
}

/** Saves what an address of the agent answers as a file. */
export function saveFrom(path: string, name: string): void {
  const link = document.createElement("a");
  link.href = path;
  link.download = name;
  link.click();
}

/** Which of the two looks is wanted. */
export type Theme = "system" | "light" | "dark";

const THEME_KEY = "ggrok-theme";

/** The look chosen last in this browser. */
export function readTheme(): Theme {
  const theme = localStorage.getItem(THEME_KEY);
  return theme === "light" || theme === "dark" ? theme : "system";
}

/** Shows a look and remembers it. */
export function applyTheme(theme: Theme): void {
  if (theme === "system") localStorage.removeItem(THEME_KEY);
  else localStorage.setItem(THEME_KEY, theme);
  document.documentElement.dataset["theme"] = theme;
}

/** Gives the tab its sign. The page loads no images but blobs. */
export function showIcon(): void {
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="4" fill="#1f6f5c"/><path d="M4 8h8M8.7 4.7 12 8l-3.3 3.3" fill="none" stroke="#fff" stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round"/></svg>`;
  const link = document.createElement("link");
  link.rel = "icon";
  link.href = URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }));
  document.head.append(link);
}
