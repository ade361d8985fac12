import type { ComponentChildren, HTMLAttributes, JSX } from "preact";
import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { anchorOf, scrollTopFor, scrollTopToShow, windowOf } from "../core/window.ts";

/** A list of which only what can be seen is drawn. All rows have one height. */
export function VirtualList(o: {
  /** Names of the rows, in order; a new array when they change. */
  readonly ids: readonly string[];
  readonly rowHeight: number;
  /** Brought into view when it changes. */
  readonly shownId?: string | undefined;
  readonly row: (index: number) => ComponentChildren;
  readonly attributes?: HTMLAttributes<HTMLDivElement>;
}): JSX.Element {
  const { ids, rowHeight, shownId } = o;
  const box = useRef<HTMLDivElement>(null);
  const drawnIds = useRef(ids);
  const [view, setView] = useState({ scrollTop: 0, height: 800 });

  const look = (): void => {
    const { current } = box;
    if (current === null) return;
    const { scrollTop, clientHeight: height } = current;
    setView((was) => (was.scrollTop === scrollTop && was.height === height ? was : { scrollTop, height }));
  };

  useLayoutEffect(() => {
    const { current } = box;
    if (current === null) return undefined;
    const observer = new ResizeObserver(look);
    observer.observe(current);
    look();
    return () => observer.disconnect();
  }, []);

  // What is read stays where it is when rows come in above it.
  useLayoutEffect(() => {
    const { current } = box;
    if (current === null || drawnIds.current === ids) return;
    const anchor = anchorOf(drawnIds.current, current.scrollTop, rowHeight);
    drawnIds.current = ids;
    const scrollTop = anchor === undefined ? undefined : scrollTopFor(ids, anchor, rowHeight);
    if (scrollTop !== undefined) current.scrollTop = scrollTop;
    look();
  }, [ids, rowHeight]);

  const isThere = useMemo(() => shownId !== undefined && ids.includes(shownId), [ids, shownId]);
  // Rows that come in must not scroll back to the selected one.
  useLayoutEffect(() => {
    const { current } = box;
    const index = shownId === undefined ? -1 : ids.indexOf(shownId);
    if (current === null || index === -1) return;
    const { scrollTop, clientHeight: height } = current;
    current.scrollTop = scrollTopToShow(index, { scrollTop, height, rowHeight });
    look();
  }, [shownId, isThere]);

  const { start, end } = windowOf({ ...view, rowHeight, count: ids.length });
  // The same element again is not compared: scrolling costs the rows that come into view, not all of them.
  const drawn = useRef<{ readonly row: unknown; readonly ids: unknown; rows: Map<number, JSX.Element> }>(undefined);
  const isSame = drawn.current?.row === o.row && drawn.current.ids === ids;
  const rows = new Map<number, JSX.Element>();
  for (let index = start; index < end; index += 1) {
    const known = isSame ? drawn.current?.rows.get(index) : undefined;
    rows.set(
      index,
      known ?? (
        <div class="virtual-row" key={ids[index]} role="presentation" style={{ top: `${index * rowHeight}px` }}>
          {o.row(index)}
        </div>
      ),
    );
  }
  drawn.current = { row: o.row, ids, rows };
  return (
    <div {...o.attributes} class="virtual-list" ref={box} onScroll={look}>
      <div class="virtual-space" role="presentation" style={{ height: `${ids.length * rowHeight}px` }}>
        {[...rows.values()]}
      </div>
    </div>
  );
}
