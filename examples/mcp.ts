// An MCP server on this machine that a client anywhere can use, over streamable HTTP: answers stream as they come.
import type { IncomingMessage, ServerResponse } from "node:http";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { serve } from "ggrok";

const tunnel = await serve(async (request: IncomingMessage, response: ServerResponse) => {
  // Without sessions: each request has a server of its own.
  const server = new McpServer({ name: "clock", version: "1.0.0" });
  server.registerTool("time", { description: "The time on the machine behind the tunnel" }, () => ({
    content: [{ type: "text", text: new Date().toISOString() }],
  }));
  const transport = new StreamableHTTPServerTransport();
  response.once("close", () => void server.close());
  await server.connect(transport as Parameters<typeof server.connect>[0]);
  await transport.handleRequest(request, response);
});
console.log(`${tunnel.url()}/mcp`);
process.once("SIGINT", () => tunnel.close());
