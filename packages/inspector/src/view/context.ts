import { createContext } from "preact";
import { useContext } from "preact/hooks";
import type { PageState } from "../state/page-state.ts";

/** Hands the page's state to the views. */
export const PageContext = createContext<PageState | undefined>(undefined);

/** The page's state, in a view. */
export function usePage(): PageState {
  const page = useContext(PageContext);
  if (page === undefined) throw new Error("a view stands outside of the page");
  return page;
}
