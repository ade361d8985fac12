/** The part of undici that is used, by its own path: the package's index also loads fetch, caches and WebSockets. */
declare module "undici/lib/dispatcher/client.js" {
  // biome-ignore lint/style/noDefaultExport: the file is CommonJS, whose export is a default here
  export { Client as default } from "undici";
}
