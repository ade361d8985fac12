import { createServer, type Server, type Socket } from "node:net";

/**
 * The TCP services behind the tunnels, a program of its own. One port echoes; the other is asked by a line: `down BYTES` is
 * answered with so many, whatever follows `up` is counted until its end and answered with the count.
 */
const CHUNK = Buffer.alloc(65_536);

function echo(socket: Socket): void {
  socket.on("data", (chunk: Buffer) => {
    if (!socket.write(chunk)) socket.pause();
  });
  socket.on("drain", () => socket.resume());
  socket.on("end", () => socket.end());
}

function sendBytes(socket: Socket, bytes: number): void {
  let left = bytes;
  const send = (): void => {
    while (left > 0) {
      const chunk = left < CHUNK.length ? CHUNK.subarray(0, left) : CHUNK;
      left -= chunk.length;
      if (!socket.write(chunk)) return;
    }
    socket.off("drain", send).end();
  };
  socket.on("drain", send);
  send();
}

function answer(socket: Socket): void {
  socket.once("data", (first: Buffer) => {
    const end = first.indexOf("\n");
    const [verb, count] = first.toString("latin1", 0, end).split(" ");
    if (verb === "down") {
      sendBytes(socket, Number(count));
      return;
    }
    let taken = first.length - end - 1;
    socket.on("data", (chunk: Buffer) => {
      taken += chunk.length;
    });
    socket.on("end", () => socket.end(String(taken)));
  });
}

async function listen(serve: (socket: Socket) => void): Promise<number> {
  const server: Server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
    socket.on("error", () => {});
    serve(socket);
  });
  await new Promise<void>((resolve) => server.listen({ port: 0, host: "127.0.0.1", backlog: 4_096 }, resolve));
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

console.log(JSON.stringify({ small: await listen(echo), bulk: await listen(answer) }));
