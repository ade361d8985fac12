import type { JSX } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import { type BodyKind, bodyKind } from "../core/body-kind.ts";
import { parseForm } from "../core/form.ts";
import { formatBytes } from "../core/format.ts";
import { parseMultipart } from "../core/multipart.ts";
import { HexView } from "./hex-view.tsx";
import { JsonView } from "./json-view.tsx";
import { Pairs } from "./pairs.tsx";
import { TextView } from "./text-view.tsx";

/** Bytes, shown as what they are. Nothing of them is ever run or loaded. */
export function Content({
  kind,
  bytes,
}: {
  readonly kind: BodyKind;
  readonly bytes: Uint8Array<ArrayBuffer>;
}): JSX.Element {
  switch (kind.kind) {
    case "empty":
      return <p class="body-note">Empty</p>;
    case "json":
      return <JsonView text={kind.text} />;
    case "form":
      return <Pairs rows={parseForm(kind.text)} label="Form" />;
    case "multipart":
      return <Parts boundary={kind.boundary} bytes={bytes} />;
    case "image":
      return <Picture type={kind.type} bytes={bytes} />;
    case "text":
      return <TextView text={kind.text} language={kind.language} />;
    case "binary":
      return <HexView bytes={bytes} />;
  }
}

function Parts({
  boundary,
  bytes,
}: {
  readonly boundary: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}): JSX.Element {
  const parts = useMemo(() => parseMultipart(bytes, boundary), [bytes, boundary]);
  if (parts.length === 0) return <TextView text={new TextDecoder().decode(bytes)} language="plain" />;
  return (
    <ol class="parts" aria-label="Parts">
      {parts.map((part, i) => {
        const content = part.bytes.slice();
        const kind = bodyKind(part.contentType ?? (part.filename === undefined ? "text/plain" : undefined), content);
        return (
          <li key={i}>
            <p class="part-head">
              <b>{part.name === "" ? `Part ${i + 1}` : part.name}</b>
              {part.filename !== undefined && <span>{part.filename}</span>}
              <span class="quiet">
                {part.contentType === undefined ? "" : `${part.contentType}, `}
                {formatBytes(content.length)}
              </span>
            </p>
            <Content kind={kind} bytes={content} />
          </li>
        );
      })}
    </ol>
  );
}

function Picture({ type, bytes }: { readonly type: string; readonly bytes: Uint8Array<ArrayBuffer> }): JSX.Element {
  const [url, setUrl] = useState<string>();
  const [facts, setFacts] = useState("");
  useEffect(() => {
    const made = URL.createObjectURL(new Blob([bytes], { type }));
    setUrl(made);
    setFacts("");
    return () => URL.revokeObjectURL(made);
  }, [bytes, type]);
  return (
    <figure class="picture">
      {url !== undefined && (
        <img
          src={url}
          alt="The body"
          onLoad={({ currentTarget: { naturalWidth, naturalHeight } }) =>
            setFacts(`${naturalWidth} × ${naturalHeight}`)
          }
          onError={() => setFacts(`These bytes are no ${type}.`)}
        />
      )}
      <figcaption>{facts}</figcaption>
    </figure>
  );
}
