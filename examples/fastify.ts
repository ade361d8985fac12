// A Fastify app without a port: its routes, hooks and schemas work as they do behind a socket.
import Fastify from "fastify";
import { serve } from "ggrok";

const app = Fastify({ trustProxy: true });
const order = { body: { type: "object", required: ["item"], properties: { item: { type: "string" } } } };
app.get("/", (request) => `Hello from ${request.protocol}://${request.host}\n`);
app.post("/orders", { schema: order }, (request, reply) => reply.code(201).send({ received: request.body }));

const tunnel = await serve(app);
console.log(tunnel.url());
process.once("SIGINT", async () => {
  await tunnel.close();
  await app.close();
});
