import { configError } from "../config/values.ts";
import { parseTarget, type Target } from "./target.ts";

const FORMS = "write a port (5432), host:port, tcp://host:port or unix:/path.sock";

/** Parses the target of a TCP tunnel: `5432`, `host:5432`, `tcp://host:5432` or `unix:/path.sock`. */
export function parseTcpTarget(text: string): Target {
  const trimmed = text.trim();
  const rest = trimmed.replace(/^tcp:\/\//i, "");
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(rest)) throw configError(`"${text}" is no target of a TCP tunnel: ${FORMS}`);
  const target = parseTarget(rest);
  if (target.folder !== undefined) throw configError(`"${text}": a folder is no target of a TCP tunnel: ${FORMS}`);
  return target.socketPath !== undefined ? target : { ...target, label: `tcp://${hostAndPort(target)}` };
}

/** With the port even where HTTP would leave it out. */
function hostAndPort({ hostname, port }: Target): string {
  return `${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}`;
}
