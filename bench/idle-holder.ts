import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { FRAME_HEADER_BYTES, FrameType, PROTOCOL, putFrameHeader } from "@ggrok/protocol";
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

function encode(type: FrameType, payload: Buffer): Buffer {
  const frame = Buffer.alloc(FRAME_HEADER_BYTES + payload.length);
  putFrameHeader(frame, 0, type, 0, 0, payload.length);
  payload.copy(frame, FRAME_HEADER_BYTES);
  return frame;
}

function encodeMessage(message: object): Buffer {
  return encode(FrameType.Control, Buffer.from(JSON.stringify(message)));
}

/** The handshake of one agent with one tunnel, then silence but for the answers to PINGs. */
function holdTunnel(port: number, index: number): Promise<void> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/$$ggrok`, PROTOCOL, { perMessageDeflate: false });
  return new Promise((resolve, reject) => {
    socket.on("error", reject);
    socket.on("close", (code, reason) => reject(new Error(`closed ${code} ${reason.toString()}`)));
    socket.on("open", () => {
      const identity = {
        agentId: randomBytes(32).toString("base64url"),
        instance: randomBytes(16).toString("base64url"),
      };
      const limits = { attempt: 1, slot: 0, capabilities: ["resume"], window: 65_536, maxStreams: 16_384 };
      socket.send(
        encodeMessage({
          type: "hello",
          role: "agent",
          software: "ggrok-bench",
          ...identity,
          ...limits,
          label: "bench",
        }),
      );
    });
    socket.on("message", (data: Buffer) => {
      for (let at = 0; at + FRAME_HEADER_BYTES <= data.length; ) {
        const payload = data.subarray(at + FRAME_HEADER_BYTES, at + FRAME_HEADER_BYTES + data.readUInt32BE(at));
        if (data[at + 8] === FrameType.Ping) socket.send(encode(FrameType.Pong, payload));
        if (data[at + 8] === FrameType.Control) onMessage(JSON.parse(payload.toString()) as { type: string });
        at += FRAME_HEADER_BYTES + payload.length;
      }
    });
    const onMessage = (message: { type: string }): void => {
      if (message.type === "welcome") {
        const bind = {
          type: "bind",
          bind: 1,
          kind: "http",
          url: `idle-${index}`,
          ageMs: 0,
          pooling: false,
          takeover: false,
          options: {},
        };
        socket.send(encodeMessage(bind));
      } else if (message.type === "bound") {
        resolve();
      } else if (message.type === "refused" || message.type === "unbound") {
        reject(new Error(JSON.stringify(message)));
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
