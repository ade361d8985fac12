// A tunnel to an app that listens on a port, with a line for each request.
import { forward } from "ggrok";

const tunnel = await forward({ addr: process.argv[2] ?? 3000 });
console.log(tunnel.url());
tunnel.on("request", ({ method, path, status, durationMs }) => {
  console.error(`${method} ${path} ${status ?? "no answer"} ${Math.round(durationMs)} ms`);
});
process.once("SIGINT", () => tunnel.close());
