import type { JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { bodyKind } from "../core/body-kind.ts";
import type { StreamMessage } from "../core/exchange.ts";
import { formatBytes, formatTime, plural } from "../core/format.ts";
import { decodeText, fromBase64 } from "../core/text.ts";
import { Content } from "./content.tsx";
import { usePage } from "./context.ts";
import { Icon } from "./icons.tsx";
import { VirtualList } from "./virtual-list.tsx";

/** Pixels; the style sheet has the same. */
const ROW_HEIGHT = 28;
/** Bytes of a message that its line shows. */
const PREVIEW_BYTES = 240;

/** What went over a WebSocket or an event stream, as it comes. */
export function MessageView({ id, dropped }: { readonly id: string; readonly dropped: number }): JSX.Element {
  const { messages, problem } = useMessages(id);
  const [selectedN, setSelectedN] = useState<number>();
  const ids = useMemo(() => messages.map(({ n }) => String(n)), [messages]);
  const selected = messages.find(({ n }) => n === selectedN);
  return (
    <div class="messages">
      {problem !== "" && <p class="body-note is-warning">{problem}</p>}
      {dropped > 0 && <p class="body-note">{plural(dropped, "message")} more passed and are not kept.</p>}
      {messages.length === 0 && problem === "" && <p class="nothing">No message yet.</p>}
      <div class="message-list">
        <VirtualList
          ids={ids}
          rowHeight={ROW_HEIGHT}
          attributes={{ role: "listbox", "aria-label": "Messages", tabIndex: 0 }}
          row={(index) => {
            const message = messages[index];
            return message === undefined ? null : (
              <MessageRow
                message={message}
                isSelected={message.n === selectedN}
                onSelect={() => setSelectedN(message.n === selectedN ? undefined : message.n)}
              />
            );
          }}
        />
      </div>
      {selected !== undefined && <MessageContent message={selected} />}
    </div>
  );
}

/** All messages of an exchange; more are asked for when the agent tells of them. */
function useMessages(id: string): { messages: readonly StreamMessage[]; problem: string } {
  const page = usePage();
  const [messages, setMessages] = useState<readonly StreamMessage[]>([]);
  const [problem, setProblem] = useState("");
  const last = useRef(0);
  const tick = page.messageTick.value;
  // A tick says that there are more.
  useEffect(() => {
    const asking = new AbortController();
    const ask = async (): Promise<void> => {
      for (;;) {
        const { messages: next, more } = await page.api.messages(id, last.current, asking.signal);
        if (asking.signal.aborted || next.length === 0) return;
        last.current = next.at(-1)?.n ?? last.current;
        setMessages((known) => [...known, ...next]);
        if (!more) return;
      }
    };
    ask().then(
      () => setProblem(""),
      (error: unknown) => asking.signal.aborted || setProblem(error instanceof Error ? error.message : String(error)),
    );
    return () => asking.abort();
  }, [id, tick]);
  return { messages, problem };
}

function MessageRow(o: {
  readonly message: StreamMessage;
  readonly isSelected: boolean;
  readonly onSelect: () => void;
}): JSX.Element {
  const { message } = o;
  const { direction, opcode } = message;
  return (
    <button
      type="button"
      class={`message ${direction}`}
      role="option"
      aria-selected={o.isSelected}
      onClick={o.onSelect}
    >
      <span class="direction" title={direction === "in" ? "To the app" : "From the app"}>
        <Icon name={direction} />
        <span class="hidden">{direction === "in" ? "To the app" : "From the app"}</span>
      </span>
      <span class="opcode">{opcode}</span>
      <span class="preview">{preview(message)}</span>
      <span class="message-size">{formatBytes(message.size)}</span>
      <span class="quiet">{formatTime(message.at, true)}</span>
    </button>
  );
}

function preview({ data, opcode }: StreamMessage): string {
  const bytes = fromBase64(data.slice(0, Math.ceil(PREVIEW_BYTES / 3) * 4));
  if (opcode === "binary")
    return Array.from(bytes.subarray(0, 32), (byte) => byte.toString(16).padStart(2, "0")).join(" ");
  // A close frame begins with its code (RFC 6455 section 5.5.1).
  if (opcode === "close" && bytes.length >= 2) {
    return `${((bytes[0] ?? 0) << 8) | (bytes[1] ?? 0)} ${decodeText(bytes.subarray(2))}`.trim();
  }
  return decodeText(bytes).replace(/\s+/g, " ");
}

function MessageContent({ message }: { readonly message: StreamMessage }): JSX.Element {
  const bytes = useMemo(() => fromBase64(message.data), [message]);
  const type = message.opcode === "event" ? "text/plain" : undefined;
  return (
    <section class="message-content scrolls" aria-label={`Message ${message.n}`}>
      {!message.whole && <p class="body-note">Only the beginning of {formatBytes(message.size)} is kept.</p>}
      <Content kind={bodyKind(type, bytes)} bytes={bytes} />
    </section>
  );
}
