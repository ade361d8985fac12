import type { Session } from "@ggrok/protocol";
import { expect, it } from "vitest";
import { MuxDuplex } from "../../packages/client/src/connect/mux-duplex.ts";
import { createTcpForwarder } from "../../packages/client/src/forward/tcp.ts";
import { parseTcpTarget } from "../../packages/client/src/forward/tcp-target.ts";
import { Collector, createPair, type SessionPair } from "../../packages/protocol/src/mux/pair.testing.ts";
import { StreamSplice } from "../../packages/server/src/control/stream-splice.ts";
import type { TcpRoute } from "../../packages/server/src/registry/tcp-route.ts";
import { eventually } from "../harness/deadline.ts";
import { TcpService } from "./tcp-world.ts";

const OPEN = { kind: "tcp", bind: 1, requestId: "1" } as const;

const untilNothingIsHeld = (session: Session): Promise<void> =>
  eventually(
    () => `${session.heldBytes} bytes to be taken`,
    () => session.heldBytes === 0,
  );

it("a visitor who has said all before the app takes the connection leaves no memory counted", async () => {
  await using service = await TcpService.start();
  const forwarder = createTcpForwarder({ target: parseTcpTarget(String(service.port)) });
  const pair = createPair({
    onStream: (stream, head, fin) => {
      if (head.kind === "tcp") forwarder.onConnection(stream, head, fin);
    },
  });
  pair.relay.open(OPEN, new Collector(), { fin: false }).end(Buffer.from("all of it"));
  const { socket, reader } = await service.connection();
  expect((await reader.rest()).toString()).toBe("all of it");
  socket.end();
  await untilNothingIsHeld(pair.agent);
});

it("nor does one who came by a connector and was quicker than the agent's stream", async () => {
  const agent = createPair({
    onStream: (stream) => {
      stream.handler = new Collector();
    },
  });
  let isThere = false;
  const route: TcpRoute = {
    url: "",
    names: [],
    isPublic: true,
    allows: () => true,
    open: (head, handler) => (isThere ? agent.relay.open({ ...head, bind: 1 }, handler, { fin: false }) : undefined),
    park: async () => {
      await eventually(
        () => "what the visitor says",
        () => connector.agent.heldBytes > 0,
      );
      isThere = true;
      return "ready";
    },
  };
  const connector: SessionPair = createPair({
    onStream: (stream, _head, hasEnded) =>
      new StreamSplice({
        stream,
        hasEnded,
        route,
        requestId: "1",
        meta: {},
        parkMs: 10_000,
        isDraining: false,
        onEnd() {},
      }).start(),
  });
  connector.relay.open(OPEN, new Collector(), { fin: false }).end(Buffer.from("all of it"));
  await eventually(
    () => "the agent's stream",
    () => isThere,
  );
  await untilNothingIsHeld(connector.agent);
});

it("nor does an end that nobody reads any more", async () => {
  const duplex = new MuxDuplex();
  duplex.attach(createPair().relay.open(OPEN, duplex, { fin: false }));
  expect(duplex.onData(Buffer.alloc(100_000), false)).toBe(false);
  expect(duplex.onData(Buffer.alloc(100_000), true)).toBe(true);
  duplex.destroy();
});
