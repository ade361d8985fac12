import { connect, createServer } from "node:net";

/** What joining two sockets costs in Node without any tunnel, a program of its own: `tcp-proxy.ts ORIGIN_PORT`. */
const originPort = Number(process.argv[2]);

const server = createServer({ noDelay: true, allowHalfOpen: true }, (visitor) => {
  const origin = connect({ port: originPort, host: "127.0.0.1", noDelay: true, allowHalfOpen: true });
  visitor.on("error", () => origin.destroy());
  origin.on("error", () => visitor.destroy());
  visitor.pipe(origin);
  origin.pipe(visitor);
});
server.listen({ port: 0, host: "127.0.0.1", backlog: 4_096 }, () => {
  const address = server.address();
  if (address !== null && typeof address === "object") console.log(JSON.stringify({ port: address.port }));
});
