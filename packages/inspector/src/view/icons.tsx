import type { JSX } from "preact";

/** Outlines on a field of 16 by 16. */
const PATHS = {
  copy: "M5.5 5.5V3.2c0-.4.3-.7.7-.7h6.6c.4 0 .7.3.7.7v6.6c0 .4-.3.7-.7.7h-2.3M3.2 5.5h6.6c.4 0 .7.3.7.7v6.6c0 .4-.3.7-.7.7H3.2a.7.7 0 0 1-.7-.7V6.2c0-.4.3-.7.7-.7Z",
  qr: "M2.5 2.5h4v4h-4zM9.5 2.5h4v4h-4zM2.5 9.5h4v4h-4zM9.5 9.5h1.5v1.5H9.5zM12 12h1.5v1.5H12zM9.5 13.5h.1M13.4 9.5h.1",
  search: "M7 11.5a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9ZM10.3 10.3l3.2 3.2",
  replay: "M13 4.5v3h-3M12.6 7.5A5 5 0 1 0 13 9.6",
  edit: "m9.7 3.7 2.6 2.6M2.8 13.2l.6-2.9 7.3-7.3a1 1 0 0 1 1.4 0l.9.9a1 1 0 0 1 0 1.4l-7.3 7.3Z",
  download: "M8 2.5v7.2M5 7l3 3 3-3M2.8 13.2h10.4",
  upload: "M8 10V2.8M5 5.5l3-3 3 3M2.8 13.2h10.4",
  trash: "M2.8 4.3h10.4M6.3 4V2.7h3.4V4M4.2 4.5l.5 8.8h6.6l.5-8.8M6.7 7v4M9.3 7v4",
  close: "m4 4 8 8M12 4l-8 8",
  back: "M9.8 3.5 5.3 8l4.5 4.5",
  theme: "M8 13.5a5.5 5.5 0 0 0 0-11v11ZM8 13.5a5.5 5.5 0 0 1 0-11",
  help: "M6 6.2a2 2 0 1 1 2.9 1.8c-.6.3-.9.7-.9 1.3v.3M8 12v.1M8 14.3A6.3 6.3 0 1 0 8 1.7a6.3 6.3 0 0 0 0 12.6Z",
  in: "M12 8H4m3.2-3.2L4 8l3.2 3.2",
  out: "M4 8h8M8.8 4.8 12 8l-3.2 3.2",
} as const;

/** Names of the icons. */
export type IconName = keyof typeof PATHS;

/** An icon in the colour of the text around it; it says nothing that words do not. */
export function Icon({ name }: { readonly name: IconName }): JSX.Element {
  return (
    <svg class="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}

/** A button that is an icon. */
export function IconButton(o: {
  readonly icon: IconName;
  readonly label: string;
  readonly onClick: () => void;
  readonly disabled?: boolean;
}): JSX.Element {
  return (
    <button
      type="button"
      class="icon-button"
      title={o.label}
      aria-label={o.label}
      disabled={o.disabled === true}
      onClick={o.onClick}
    >
      <Icon name={o.icon} />
    </button>
  );
}
