import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import {
  CAPABILITIES,
  type ControlMessage,
  decodeControl,
  decodeMessage,
  encodeControlMessage,
  encodeU48,
  FRAME_HEADER_BYTES,
  FrameType,
  type Hello,
  PROTOCOL,
  putFrameHeader,
} from "@ggrok/protocol";
import { WebSocket } from "ws";

/**
 * Many agents in one process, without anything to serve: `idle-holder.ts RELAY_PORT COUNT`. It speaks the real
 * handshake frame by frame instead of starting sessions of ours, so that its own memory does not limit the count.
 */
/** Handshakes under way at once; the relay refuses many more than it admits in a second. */
const CONCURRENT = 32;
const RETRY_MS = 250;
/** Left for the standard streams, the listener and the libraries. */
const SPARE_FILES = 64;
const GIVE_UP_MS = 120_000;

function encodeFrames(...frames: readonly (readonly [type: FrameType, payload: Buffer])[]): Buffer {
  return Buffer.concat(
    frames.flatMap(([type, payload]) => {
      const header = Buffer.alloc(FRAME_HEADER_BYTES);
      putFrameHeader(header, 0, type, 0, 0, payload.length);
      return [header, payload];
    }),
  );
}

function createHello(): Hello {
  return {
    type: "hello",
    role: "agent",
    software: "ggrok-bench",
    agentId: randomBytes(32).toString("base64url"),
    instance: randomBytes(16).toString("base64url"),
    attempt: 1,
    slot: 0,
    capabilities: [CAPABILITIES.Resume],
    window: 65_536,
    maxStreams: 16_384,
    label: "bench",
  };
}

/** The handshake of one agent with one tunnel, then silence but for what a real agent answers to a PING. */
function holdTunnel(port: number, index: number): Promise<void> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/$$ggrok`, PROTOCOL, { perMessageDeflate: false });
  return new Promise((resolve, reject) => {
    let received = -1;
    socket.on("error", reject);
    socket.on("close", (code, reason) => reject(new Error(`closed ${code} ${reason.toString()}`)));
    socket.on("open", () => socket.send(encodeControlMessage(createHello())));
    socket.on("message", (data: Buffer) => {
      // The first message, welcome, is not counted.
      received += 1;
      decodeMessage(data, (type, _flags, _stream, payload) => {
        if (type === FrameType.Ping) {
          socket.send(encodeFrames([FrameType.Pong, payload], [FrameType.Ack, encodeU48(received)]));
        } else if (type === FrameType.Control) {
          hear(decodeControl(payload));
        }
      });
    });
    const hear = (message: ControlMessage | undefined): void => {
      if (message?.type === "welcome") {
        socket.send(encodeControlMessage({ type: "bind", bind: 1, kind: "http", url: `idle-${index}`, ageMs: 0 }));
      } else if (message?.type === "bound") {
        resolve();
      } else if (message?.type === "refused" || message?.type === "bind-refused") {
        reject(new Error(`${message.code}: ${message.message}`));
      }
    };
  });
}

function openFilesLimit(): number {
  const report = process.report.getReport() as { userLimits?: { open_files?: { soft?: number | string } } };
  const soft = report.userLimits?.open_files?.soft;
  return typeof soft === "number" ? soft : Number.MAX_SAFE_INTEGER;
}

const [port = 0, wanted = 0] = process.argv.slice(2).map(Number);
const tunnels = Math.min(wanted, openFilesLimit() - SPARE_FILES);
let next = 0;
const worker = async (): Promise<void> => {
  while (next < tunnels) {
    const index = next++;
    for (let attempt = 0; ; attempt += 1) {
      try {
        await holdTunnel(port, index);
        break;
      } catch (error) {
        // 503 is the relay's own pace; anything else is a mistake here or there.
        if (!String(error).includes("503") || attempt * RETRY_MS > GIVE_UP_MS) throw error;
        await delay(RETRY_MS);
      }
    }
  }
};
await Promise.all(Array.from({ length: CONCURRENT }, worker));
console.log(JSON.stringify({ tunnels }));
