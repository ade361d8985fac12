import type { JSX } from "preact";
import { parseCookies, parseSetCookie } from "../core/cookies.ts";
import type { BodySide, Exchange, HeaderPairs, Message } from "../core/exchange.ts";
import { parseForm, splitTarget } from "../core/form.ts";
import { isSecretField, maskValue, toFields, valuesOf } from "../core/header-list.ts";
import { BodyView } from "./body-view.tsx";
import { Pairs, Secret } from "./pairs.tsx";
import { Section } from "./section.tsx";

/** One side of an exchange: what its head says, and its body. */
export function SideView(o: {
  readonly exchange: Exchange;
  readonly side: BodySide;
  readonly message: Message;
}): JSX.Element {
  const { exchange, side, message } = o;
  const query = side === "request" ? splitTarget(exchange.request.uri).query : undefined;
  return (
    <>
      {side === "response" &&
        exchange.response?.informational.map((interim, i) => (
          // Interim answers have nothing but their order.
          <Section key={i} title={`${interim.status_code} ${interim.reason}`} count={interim.header_list.length / 2}>
            <Headers pairs={interim.header_list} />
          </Section>
        ))}
      {query !== undefined && query !== "" && (
        <Section title="Query" count={parseForm(query).length}>
          <Pairs rows={parseForm(query)} label="Query" />
        </Section>
      )}
      <Section title="Headers" count={message.header_list.length / 2}>
        <Headers pairs={message.header_list} />
      </Section>
      <Cookies side={side} pairs={message.header_list} />
      <BodyView exchange={exchange} side={side} message={message} />
      {message.trailer_list.length > 0 && (
        <Section title="Trailers" count={message.trailer_list.length / 2}>
          <Headers pairs={message.trailer_list} />
        </Section>
      )}
    </>
  );
}

function Headers({ pairs }: { readonly pairs: HeaderPairs }): JSX.Element {
  const rows = toFields(pairs).map(({ name, value }) => ({
    name,
    value: isSecretField(name) ? <Secret name={name} value={value} masked={maskValue(name, value)} /> : value,
  }));
  return <Pairs rows={rows} label="Headers" />;
}

function Cookies({ side, pairs }: { readonly side: BodySide; readonly pairs: HeaderPairs }): JSX.Element | null {
  const cookies =
    side === "request"
      ? parseCookies(valuesOf(pairs, "cookie")).map((cookie) => ({ ...cookie, attributes: [] as readonly string[] }))
      : valuesOf(pairs, "set-cookie").map(parseSetCookie);
  if (cookies.length === 0) return null;
  const rows = cookies.map(({ name, value, attributes }) => ({
    name,
    value: (
      <>
        <Secret name={name} value={value} masked="••••••••" />
        {attributes.length > 0 && <span class="quiet">; {attributes.join("; ")}</span>}
      </>
    ),
  }));
  return (
    <Section title={side === "request" ? "Cookies" : "Cookies set"} count={rows.length}>
      <Pairs rows={rows} label="Cookies" />
    </Section>
  );
}
