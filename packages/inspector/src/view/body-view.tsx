import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { type BodyKind, bodyKind } from "../core/body-kind.ts";
import type { BodyFacts, BodySide, Exchange, Message } from "../core/exchange.ts";
import { formatBytes } from "../core/format.ts";
import { firstValue } from "../core/header-list.ts";
import { decodeText } from "../core/text.ts";
import { saveFrom } from "../state/browser.ts";
import { useLoaded } from "../state/load.ts";
import { Content } from "./content.tsx";
import { usePage } from "./context.ts";
import { HexView } from "./hex-view.tsx";
import { Section } from "./section.tsx";
import { TextView } from "./text-view.tsx";

/** A larger body is fetched when it is asked for. */
const FETCH_BYTES_MAX = 5_000_000;

type Look = "content" | "text" | "hex";
const LOOKS: readonly { readonly look: Look; readonly label: string }[] = [
  { look: "content", label: "View" },
  { look: "text", label: "Text" },
  { look: "hex", label: "Hex" },
];

/** A body: shown by its type, as text or as bytes; decoded or as it was sent. */
export function BodyView(o: {
  readonly exchange: Exchange;
  readonly side: BodySide;
  readonly message: Message;
}): JSX.Element | null {
  const { exchange, side, message } = o;
  const { body, header_list: pairs } = message;
  const page = usePage();
  const coding = firstValue(pairs, "content-encoding");
  const isEncoded = coding !== undefined && coding.toLowerCase() !== "identity";
  const [isDecoded, setDecoded] = useState(isEncoded);
  const [isWanted, setWanted] = useState(body.size <= FETCH_BYTES_MAX);
  const [look, setLook] = useState<Look>("content");
  const key =
    body.size > 0 && body.stored && isWanted ? `${exchange.id} ${side} ${isDecoded} ${body.sha256}` : undefined;
  const loaded = useLoaded(key, (signal) => page.api.body({ id: exchange.id, side, isDecoded }, signal));
  if (body.size === 0) return null;
  const name = `${exchange.id}-${side}`;
  return (
    <Section title="Body">
      <div class="body-bar">
        <fieldset class="segmented" aria-label="How the body is shown">
          {LOOKS.map(({ look: one, label }) => (
            <button key={one} type="button" aria-pressed={look === one} onClick={() => setLook(one)}>
              {label}
            </button>
          ))}
        </fieldset>
        {isEncoded && (
          <label class="decoded">
            <input type="checkbox" checked={isDecoded} onChange={() => setDecoded(!isDecoded)} /> undo {coding}
          </label>
        )}
        <span class="quiet">
          {firstValue(pairs, "content-type") ?? "no content type"}, {formatBytes(body.size)}
          {isDecoded && loaded.state === "ready" && ` → ${formatBytes(loaded.value.length)}`}
          {body.partial && (exchange.outcome === "open" ? " so far" : ", ended early")}
          {body.redacted && ", redacted"}
        </span>
        {body.stored && (
          <button
            type="button"
            class="link"
            onClick={() => saveFrom(page.api.bodyPath({ id: exchange.id, side, isDecoded }), name)}
          >
            Download
          </button>
        )}
      </div>
      {!body.stored && <p class="body-note">{whyNotStored(exchange, body)}</p>}
      {body.stored && !isWanted && (
        <p class="body-note">
          <button type="button" onClick={() => setWanted(true)}>
            Show {formatBytes(body.size)}
          </button>
        </p>
      )}
      {key !== undefined && loaded.state === "loading" && <p class="body-note">Loading</p>}
      {key !== undefined && loaded.state === "failed" && <p class="body-note is-warning">{loaded.message}</p>}
      {key !== undefined && loaded.state === "ready" && (
        <Bytes
          bytes={loaded.value}
          look={look}
          // As it was sent, an encoded body is not what its type says.
          contentType={isEncoded && !isDecoded ? "application/octet-stream" : firstValue(pairs, "content-type")}
        />
      )}
    </Section>
  );
}

function whyNotStored({ kind, outcome, imported }: Exchange, body: BodyFacts): string {
  if (body.redacted) return "Redacted: only the size is kept.";
  if (kind === "websocket" || kind === "upgrade") return "Bytes of an upgraded connection are counted, not kept.";
  if (outcome === "open") return "It is shown when it has come to its end.";
  if (body.sha256 === "")
    return imported ? "The HAR does not have it." : "Not kept: the agent ended before it was whole.";
  return `Too large to be kept: ${formatBytes(body.size)}, SHA-256 ${body.sha256}`;
}

function Bytes(o: {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly look: Look;
  readonly contentType: string | undefined;
}): JSX.Element {
  if (o.look === "hex") return <HexView bytes={o.bytes} />;
  if (o.look === "text") return <TextView text={decodeText(o.bytes)} language="plain" />;
  const kind: BodyKind = bodyKind(o.contentType, o.bytes);
  return <Content kind={kind} bytes={o.bytes} />;
}
