/** What a list shows of all its rows. */
export interface Window {
  readonly start: number;
  /** Exclusive. */
  readonly end: number;
}

/** Rows drawn beyond either edge, so that quick scrolling shows no gaps. */
const OVERSCAN = 8;

/** Which rows have to be drawn. */
export function windowOf(o: { scrollTop: number; height: number; rowHeight: number; count: number }): Window {
  const first = Math.floor(o.scrollTop / o.rowHeight) - OVERSCAN;
  const last = Math.ceil((o.scrollTop + o.height) / o.rowHeight) + OVERSCAN;
  const end = Math.min(o.count, Math.max(0, last));
  return { start: Math.max(0, Math.min(first, end)), end };
}

/** A row and how far it stands above the upper edge. */
export interface Anchor {
  readonly id: string;
  readonly offset: number;
}

/** The row at the upper edge; undefined at the very top, where the newest rows come in. */
export function anchorOf(ids: readonly string[], scrollTop: number, rowHeight: number): Anchor | undefined {
  if (scrollTop <= 0) return undefined;
  const index = Math.floor(scrollTop / rowHeight);
  const id = ids[index];
  return id === undefined ? undefined : { id, offset: scrollTop - index * rowHeight };
}

/** Where to scroll so that the anchor's row stays where it was; undefined: it is gone. */
export function scrollTopFor(ids: readonly string[], anchor: Anchor, rowHeight: number): number | undefined {
  const index = ids.indexOf(anchor.id);
  return index === -1 ? undefined : index * rowHeight + anchor.offset;
}

/** Where to scroll so that a row can be seen whole; the same place when it can be already. */
export function scrollTopToShow(index: number, o: { scrollTop: number; height: number; rowHeight: number }): number {
  const top = index * o.rowHeight;
  if (top < o.scrollTop) return top;
  const bottom = top + o.rowHeight;
  return bottom > o.scrollTop + o.height ? bottom - o.height : o.scrollTop;
}
