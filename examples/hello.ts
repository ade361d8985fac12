// An app without a port: the tunnel hands each request to a function.
import { serve } from "ggrok";

const tunnel = await serve((request: Request) => new Response(`Hello from ${new URL(request.url).pathname}\n`));
console.log(tunnel.url());
process.once("SIGINT", () => tunnel.close());
