import { render } from "preact";
import { applyTheme, readTheme, showIcon } from "./state/browser.ts";
import { PageState } from "./state/page-state.ts";
import { App } from "./view/app.tsx";
import { PageContext } from "./view/context.ts";

applyTheme(readTheme());
showIcon();
const token = document.querySelector<HTMLMetaElement>('meta[name="ggrok-token"]')?.content ?? "";
const page = new PageState(token);
page.start();
const root = document.querySelector("#page");
if (root !== null) {
  render(
    <PageContext.Provider value={page}>
      <App />
    </PageContext.Provider>,
    root,
  );
}
