/** What a key does. */
export type Command = "next" | "previous" | "first" | "last" | "search" | "replay" | "edit" | "mark" | "help" | "leave";

/** A key that was pressed. */
export interface KeyPress {
  readonly key: string;
  readonly hasModifier: boolean;
  /** The focus is where people write. */
  readonly isTyping: boolean;
  /** The focus is on something that Enter and the arrows belong to, such as a button. */
  readonly isControl: boolean;
}

/** Keys and what they do, in the order in which the help shows them. */
export const KEYS: readonly { readonly keys: readonly string[]; readonly command: Command; readonly text: string }[] = [
  { keys: ["j", "ArrowDown"], command: "next", text: "Next exchange" },
  { keys: ["k", "ArrowUp"], command: "previous", text: "Previous exchange" },
  { keys: ["g", "Home"], command: "first", text: "Newest exchange" },
  { keys: ["G", "End"], command: "last", text: "Oldest exchange" },
  { keys: ["/"], command: "search", text: "Filter by text" },
  { keys: ["r"], command: "replay", text: "Replay as it was" },
  { keys: ["e"], command: "edit", text: "Edit and replay" },
  { keys: ["x"], command: "mark", text: "Mark for export" },
  { keys: ["Escape"], command: "leave", text: "Leave the field, the dialog or the exchange" },
  { keys: ["?"], command: "help", text: "These keys" },
];

/** What a key press asks for. */
export function commandFor(press: KeyPress): Command | undefined {
  if (press.hasModifier) return undefined;
  const command = KEYS.find(({ keys }) => keys.includes(press.key))?.command;
  if (press.isTyping) return command === "leave" ? command : undefined;
  if (press.isControl && press.key.length > 1 && command !== "leave") return undefined;
  return command;
}
