import { once } from "node:events";
import { createServer } from "node:http";

const PAGE = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>ggrok demo</title>
<style>
  body { font: 1.1rem/1.6 system-ui, sans-serif; max-width: 38rem; margin: 4rem auto; padding: 0 1rem; }
  code { background: #8882; padding: .1em .3em; border-radius: .2em; }
</style>
<h1>It works.</h1>
<p>This page came from a small app on this machine, out through a relay and back in by its public address
<code id="host"></code>.</p>
<p>The app's clock, streamed line by line: <code id="clock">…</code></p>
<p>Try <code>curl -d hello <span id="echo"></span></code>: the app sends back what it gets.</p>
<script>
  document.querySelector("#host").textContent = location.host;
  document.querySelector("#echo").textContent = new URL("/echo", location).href;
  new EventSource("/clock").onmessage = (event) => { document.querySelector("#clock").textContent = event.data; };
</script>
</html>
`;

/** Starts the demo app on a free loopback port. */
export async function startDemoApp() {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://localhost");
    if (pathname === "/echo") {
      response.writeHead(200, { "content-type": request.headers["content-type"] ?? "application/octet-stream" });
      request.pipe(response);
    } else if (pathname === "/clock") {
      response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" });
      const tick = () => response.write(`data: ${new Date().toLocaleTimeString()}\n\n`);
      tick();
      const timer = setInterval(tick, 1_000);
      response.on("close", () => clearInterval(timer));
    } else if (pathname === "/") {
      response.writeHead(200, { "content-type": "text/html; charset=utf-8" }).end(PAGE);
    } else {
      response.writeHead(404, { "content-type": "text/plain" }).end(`Nothing at ${pathname}\n`);
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: server.address().port,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}
