import type { JSX } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { type EditResult, toEdit, withoutFields } from "../core/edit.ts";
import type { Exchange } from "../core/exchange.ts";
import { formatBytes } from "../core/format.ts";
import { firstValue, maskedHead, unmaskHead } from "../core/header-list.ts";
import { decodeText, isReadable } from "../core/text.ts";
import { useLoaded } from "../state/load.ts";
import { usePage } from "./context.ts";

/** A larger body can be replaced, not edited by hand. */
const EDITED_BYTES_MAX = 1_000_000;
const TIMES_MAX = 100;

interface Original {
  readonly exchange: Exchange;
  /** The body decoded; undefined: it is no text, or too much of it. */
  readonly text: string | undefined;
}

/** Changes a request before it is sent again. */
export function ReplayEditor({ id }: { readonly id: string }): JSX.Element {
  const page = usePage();
  const loaded = useLoaded<Original>(id, async (signal) => {
    const exchange = await page.api.exchange(id, signal);
    const { body } = exchange.request;
    if (body.size === 0) return { exchange, text: "" };
    if (body.size > EDITED_BYTES_MAX || !body.stored) return { exchange, text: undefined };
    const bytes = await page.api.body({ id, side: "request", isDecoded: true }, signal).catch(() => undefined);
    return { exchange, text: bytes === undefined || !isReadable(bytes) ? undefined : decodeText(bytes) };
  });
  if (loaded.state === "loading") return <p class="nothing">Loading</p>;
  if (loaded.state === "failed") return <p class="nothing is-warning">{loaded.message}</p>;
  return <Editor original={loaded.value} />;
}

function Editor({ original }: { readonly original: Original }): JSX.Element {
  const page = usePage();
  const { exchange, text } = original;
  const { request } = exchange;
  const isEncoded = firstValue(request.header_list, "content-encoding") !== undefined;
  const [method, setMethod] = useState(request.method);
  const [target, setTarget] = useState(request.uri);
  const [head, setHead] = useState(() => maskedHead(request.header_list));
  const [body, setBody] = useState(text ?? "");
  const [file, setFile] = useState<{ name: string; bytes: Uint8Array }>();
  const [times, setTimes] = useState(1);
  const [isResigned, setResigned] = useState(exchange.signature !== null);
  const [problem, setProblem] = useState<Extract<EditResult, { problem: string }>>();
  const first = useRef<HTMLInputElement>(null);
  useLayoutEffect(() => first.current?.focus(), []);
  const newBody = file?.bytes ?? (text === undefined || body === text ? undefined : new TextEncoder().encode(body));

  const change = (set: () => void): void => {
    set();
    setProblem(undefined);
  };
  const send = (): void => {
    const lines = unmaskHead(head, request.header_list);
    const result = toEdit(request, { method: method.trim(), target: target.trim(), head: lines, body: newBody });
    if ("problem" in result) {
      setProblem(result);
      return;
    }
    // A new body is not encoded as the old one was.
    const { edit } = result;
    const pairs = edit.header_list ?? request.header_list;
    const plain = newBody !== undefined && isEncoded ? { header_list: withoutFields(pairs, ["content-encoding"]) } : {};
    page.dialog.value = undefined;
    void page.replay({
      id: exchange.id,
      edit: { ...edit, ...plain },
      ...(times > 1 && { times }),
      ...(exchange.signature !== null && isResigned && { resign: true }),
    });
  };

  return (
    <form
      class="editor"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
      onKeyDown={(event) => {
        if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
        event.preventDefault();
        send();
      }}
    >
      <div class="request-line">
        <input
          aria-label="Method"
          list="edit-methods"
          value={method}
          aria-invalid={problem?.field === "method"}
          onInput={(event) => change(() => setMethod(event.currentTarget.value))}
        />
        <datalist id="edit-methods">
          {["GET", "POST", "PUT", "PATCH", "DELETE"].map((one) => (
            <option key={one} value={one} />
          ))}
        </datalist>
        <input
          ref={first}
          aria-label="Path and query"
          value={target}
          aria-invalid={problem?.field === "target"}
          onInput={(event) => change(() => setTarget(event.currentTarget.value))}
        />
      </div>
      <label>
        Headers
        <textarea
          class="edit-head"
          rows={Math.min(12, head.split("\n").length + 1)}
          spellcheck={false}
          value={head}
          aria-invalid={problem?.field === "head"}
          onInput={(event) => change(() => setHead(event.currentTarget.value))}
        />
      </label>
      {text !== undefined && file === undefined && (
        <label>
          Body{isEncoded && <span class="quiet"> (decoded; sent as it stands here once it is changed)</span>}
          <textarea
            class="edit-body"
            rows={Math.max(4, Math.min(14, body.split("\n").length + 1))}
            spellcheck={false}
            value={body}
            onInput={(event) => setBody(event.currentTarget.value)}
          />
        </label>
      )}
      <p class="body-file">
        {file !== undefined
          ? `Body: ${file.name}, ${formatBytes(file.bytes.length)}`
          : text === undefined && `The body of ${formatBytes(request.body.size)} is sent as it was.`}
        <label class="link">
          {file === undefined ? "Take the body from a file" : "Another file"}
          <input
            class="file"
            type="file"
            onChange={({ currentTarget }) => {
              const chosen = currentTarget.files?.[0];
              if (chosen === undefined) return;
              void chosen.arrayBuffer().then((bytes) => setFile({ name: chosen.name, bytes: new Uint8Array(bytes) }));
            }}
          />
        </label>
      </p>
      {problem !== undefined && (
        <p class="is-warning" role="alert">
          {problem.problem}
        </p>
      )}
      <div class="dialog-buttons">
        <button type="submit" class="primary">
          Send
        </button>
        <label class="times">
          <input
            type="number"
            min={1}
            max={TIMES_MAX}
            value={times}
            onInput={(event) => setTimes(Math.max(1, Math.min(TIMES_MAX, event.currentTarget.valueAsNumber || 1)))}
          />{" "}
          times
        </label>
        {exchange.signature !== null && (
          <label>
            <input type="checkbox" checked={isResigned} onChange={() => setResigned(!isResigned)} /> sign again
          </label>
        )}
        <span class="quiet">Ctrl+Enter sends</span>
      </div>
    </form>
  );
}
