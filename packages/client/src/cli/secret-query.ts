import type { AgentEvent } from "../agent/events.ts";

/** Words of a parameter's name that say its value is a secret, whole words alone: `key` is one, `keyboard` is none. */
const SECRET =
  /(?:^|[^a-z])(?:tokens?|secrets?|password|passwd|passphrase|pwd|pass|auth|authorization|credentials?|api[^a-z]?key|key|sig|signature|hmac|jwt|session|sid|code|otp|ticket|assertion)(?:$|[^a-z])/;

/**
 * A request target as it may be shown in a log: values of the query whose names say that they are secrets are taken out,
 * the rest stays as it came.
 */
export function hideSecrets(target: string): string {
  const at = target.indexOf("?");
  if (at < 0) return target;
  const pairs = target.slice(at + 1).split(/([&;])/);
  const shown = pairs.map((pair) => {
    const equals = pair.indexOf("=");
    return equals > 0 && equals < pair.length - 1 && isSecretName(pair.slice(0, equals))
      ? `${pair.slice(0, equals)}=redacted`
      : pair;
  });
  return target.slice(0, at + 1) + shown.join("");
}

/** An event with the same done to the path of a request. */
export function withoutSecrets(event: AgentEvent): AgentEvent {
  return event.event === "request" ? { ...event, path: hideSecrets(event.path) } : event;
}

function isSecretName(name: string): boolean {
  // `accessToken` has the same words as `access_token`.
  return SECRET.test(
    decode(name)
      .replaceAll(/(?<=[a-z0-9])(?=[A-Z])/g, "_")
      .toLowerCase(),
  );
}

function decode(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}
