import { useEffect, useState } from "preact/hooks";

/** Something that is asked for when it is first shown. */
export type Loaded<T> =
  | { readonly state: "loading" }
  | { readonly state: "ready"; readonly value: T }
  | { readonly state: "failed"; readonly message: string };

/**
 * Asks for something, again whenever `key` changes; what was there stays until the new is. Undefined key: nothing is
 * asked for.
 */
export function useLoaded<T>(key: string | undefined, ask: (signal: AbortSignal) => Promise<T>): Loaded<T> {
  const [loaded, setLoaded] = useState<{ key: string | undefined; value: Loaded<T> }>({
    key: undefined,
    value: { state: "loading" },
  });
  // The key says when to ask again; `ask` is a new closure each time.
  useEffect(() => {
    if (key === undefined) return undefined;
    const asking = new AbortController();
    ask(asking.signal).then(
      (value) => asking.signal.aborted || setLoaded({ key, value: { state: "ready", value } }),
      (error: unknown) => {
        if (asking.signal.aborted) return;
        const message = error instanceof Error ? error.message : String(error);
        setLoaded({ key, value: { state: "failed", message } });
      },
    );
    return () => asking.abort();
  }, [key]);
  return loaded.key === key ? loaded.value : { state: "loading" };
}
