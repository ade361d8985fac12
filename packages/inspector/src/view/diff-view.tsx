import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import { bodyKind } from "../core/body-kind.ts";
import { diffFields, diffJson, diffText } from "../core/diff.ts";
import type { Exchange } from "../core/exchange.ts";
import { formatBytes, formatMs } from "../core/format.ts";
import { firstValue, isSecretField, maskValue } from "../core/header-list.ts";
import type { Api } from "../state/api.ts";
import { useLoaded } from "../state/load.ts";
import { usePage } from "./context.ts";
import { Secret } from "./pairs.tsx";
import { Section } from "./section.tsx";

/** Larger bodies are only compared by their digest. */
const COMPARED_BYTES_MAX = 1_000_000;

/** How the answer to a replay differs from the original's. */
export function DiffView({
  exchange,
  originalId,
}: {
  readonly exchange: Exchange;
  readonly originalId: string;
}): JSX.Element {
  const page = usePage();
  const loaded = useLoaded(`${originalId} ${exchange.id} ${exchange.outcome}`, async (signal) => {
    const original = await page.api.exchange(originalId, signal);
    const [before, after] = await Promise.all(
      [original, exchange].map((one) => responseText(page.api, one, signal).catch(() => undefined)),
    );
    return { original, before, after };
  });
  if (loaded.state === "loading") return <p class="nothing">Loading</p>;
  if (loaded.state === "failed") return <p class="nothing is-warning">The original: {loaded.message}</p>;
  const { original, before, after } = loaded.value;
  return (
    <>
      <SumUp before={original} after={exchange} />
      <HeaderChanges before={original} after={exchange} />
      <BodyChanges before={original} after={exchange} texts={{ before, after }} />
    </>
  );
}

/** Undefined: not text, or too large. */
async function responseText(api: Api, exchange: Exchange, signal: AbortSignal): Promise<string | undefined> {
  const { response } = exchange;
  if (response === null || response.body.size > COMPARED_BYTES_MAX || !response.body.stored) return undefined;
  if (response.body.size === 0) return "";
  const bytes = await api.body({ id: exchange.id, side: "response", isDecoded: true }, signal);
  const kind = bodyKind(firstValue(response.header_list, "content-type"), bytes);
  return "text" in kind ? kind.text : undefined;
}

function SumUp({ before, after }: { readonly before: Exchange; readonly after: Exchange }): JSX.Element {
  const rows = [
    ["Status", before.response?.status ?? before.outcome, after.response?.status ?? after.outcome],
    ["Time", formatMs(before.timings.end_ms), formatMs(after.timings.end_ms)],
    ["Size", formatBytes(before.response?.body.size ?? 0), formatBytes(after.response?.body.size ?? 0)],
  ] as const;
  return (
    <table class="diff-table" aria-label="Both answers">
      <thead>
        <tr>
          <td />
          <th scope="col">Original</th>
          <th scope="col">Replay</th>
        </tr>
      </thead>
      <tbody>
        {rows.map(([name, a, b]) => (
          <tr key={name} class={a === b || name !== "Status" ? "" : "is-changed"}>
            <th scope="row">{name}</th>
            <td>{a}</td>
            <td>{b}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function HeaderChanges({ before, after }: { readonly before: Exchange; readonly after: Exchange }): JSX.Element {
  const changes = diffFields(before.response?.header_list ?? [], after.response?.header_list ?? []).filter(
    ({ change }) => change !== "same",
  );
  const cell = (name: string, value: string | undefined): JSX.Element => (
    <td>
      {value !== undefined && isSecretField(name) ? (
        <Secret name={name} value={value} masked={maskValue(name, value)} />
      ) : (
        value
      )}
    </td>
  );
  return (
    <Section title="Headers" count={changes.length}>
      {changes.length === 0 ? (
        <p class="body-note">The same</p>
      ) : (
        <table class="diff-table" aria-label="Headers that differ">
          <tbody>
            {changes.map(({ name, change, before: a, after: b }) => (
              <tr key={name} class={`is-${change}`}>
                <th scope="row">{name}</th>
                {cell(name, a)}
                {cell(name, b)}
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </Section>
  );
}

function BodyChanges(o: {
  readonly before: Exchange;
  readonly after: Exchange;
  readonly texts: { readonly before: string | undefined; readonly after: string | undefined };
}): JSX.Element {
  const { before, after } = o.texts;
  const isSame = o.before.response?.body.sha256 === o.after.response?.body.sha256;
  const json = useMemo(
    () => (before === undefined || after === undefined ? undefined : diffJson(before, after)),
    [before, after],
  );
  const lines = useMemo(
    () => (before === undefined || after === undefined || json !== undefined ? undefined : diffText(before, after)),
    [before, after, json],
  );
  if (isSame || (before !== undefined && before === after)) {
    return (
      <Section title="Body">
        <p class="body-note">The same</p>
      </Section>
    );
  }
  return (
    <Section title="Body">
      {json !== undefined && (
        <table class="diff-table" aria-label="Values that differ">
          <tbody>
            {json.map(({ path, change, before: a, after: b }) => (
              <tr key={path} class={`is-${change}`}>
                <th scope="row">
                  <code>{path}</code>
                </th>
                <td>{a}</td>
                <td>{b}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {json?.length === 0 && <p class="body-note">The same values, written differently</p>}
      {lines !== undefined && (
        <pre class="diff-lines">
          {lines.map(({ change, text }, i) => (
            <span key={i} class={`line is-${change}`}>
              {text}
            </span>
          ))}
        </pre>
      )}
      {json === undefined && lines === undefined && (
        <p class="body-note">
          They differ: SHA-256 {o.before.response?.body.sha256 ?? "none"} and {o.after.response?.body.sha256 ?? "none"}
        </p>
      )}
    </Section>
  );
}
