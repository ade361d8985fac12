// An Express app without a port. It sees the visitor's address and scheme as behind any other proxy.
import express from "express";
import { serve } from "ggrok";

const app = express();
app.set("trust proxy", "loopback");
app.use(express.json());
app.get("/", (request, response) => {
  response.send(`Hello from ${request.protocol}://${request.host}\n`);
});
app.post("/orders", (request, response) => {
  response.status(201).json({ received: request.body });
});

const tunnel = await serve(app);
console.log(tunnel.url());
process.once("SIGINT", () => tunnel.close());
