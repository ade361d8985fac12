// The package carries no declarations of its own.
declare module "proxy-from-env" {
  /** The proxy the environment names for a URL, or an empty string. */
  export function getProxyForUrl(url: string): string;
}
