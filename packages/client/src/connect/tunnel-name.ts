import { configError } from "../config/values.ts";

const NAME = /^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$/;

/** What a user calls a TCP tunnel: `db`, `db.tunnels.example.com`, or its URL `tcp://db.tunnels.example.com`. */
export function parseTunnelName(text: string): string {
  const name = text
    .trim()
    .toLowerCase()
    .replace(/^tcp:\/\//, "")
    .replace(/\/$/, "");
  if (/:\d+$/.test(name))
    throw configError(`"${text}" is a public port: connect to it directly, or write the tunnel's name here`);
  if (!NAME.test(name)) throw configError(`"${text}" is no name of a TCP tunnel: write NAME or NAME.DOMAIN`);
  return name;
}
