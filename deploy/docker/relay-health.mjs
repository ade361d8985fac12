// Is the relay of this container alive? Exit code 0 when it is.
import { request as plain } from "node:http";
import { request as encrypted } from "node:https";

const { GGROK_PORT, PORT, GGROK_TLS_CERT } = process.env;
const request = GGROK_TLS_CERT === undefined ? plain : encrypted;
const call = request({
  host: "127.0.0.1",
  port: Number(GGROK_PORT ?? PORT ?? 8080),
  path: "/$$ggrok/health",
  // The certificate names the public host, and this is a question to ourselves.
  rejectUnauthorized: false,
  timeout: 4_000,
});
call.on("response", (answer) => process.exit(answer.statusCode === 200 ? 0 : 1));
call.on("timeout", () => process.exit(1));
call.on("error", () => process.exit(1));
call.end();
