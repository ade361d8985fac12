import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { findProgram } from "./find-program.ts";
import { type Processes, pickFreePort, type Running, runToEnd, waitForPort } from "./processes.ts";

/** nginx in one process, so that its pid is all there is to count. */
async function startNginx(processes: Processes, directory: string, http: string, port: number): Promise<Running> {
  const nginx = findProgram("nginx");
  if (nginx === undefined) throw new Error("nginx is not installed");
  await mkdir(directory, { recursive: true });
  // Compiled-in folders belong to root; every one this build knows is moved, so that any user can run it.
  const build = await runToEnd(nginx, ["-V"], 10_000);
  const folders = [...build.stderr.matchAll(/--http-([a-z-]+)-temp-path/g)].map(([, name = ""]) =>
    name.replaceAll("-", "_"),
  );
  const temp = folders.map((name) => `${name}_temp_path ${join(directory, name)};`).join(" ");
  const config = join(directory, "nginx.conf");
  await writeFile(
    config,
    `worker_processes 1; master_process off; daemon off; pid ${join(directory, "pid")}; error_log ${join(directory, "error.log")} crit;
events { worker_connections 4096; }
http { access_log off; ${temp} keepalive_requests 100000000; keepalive_timeout 300s; client_max_body_size 0;
${http}
}
`,
  );
  const running = processes.start(nginx, ["-p", directory, "-e", join(directory, "error.log"), "-c", config]);
  await waitForPort(port);
  return running;
}

/** nginx with one 1 KiB file: an origin cheap enough not to hide what the targets cost. */
export async function startNginxOrigin(processes: Processes, directory: string): Promise<Running & { port: number }> {
  const port = await pickFreePort();
  const root = join(directory, "www");
  await mkdir(root, { recursive: true });
  await writeFile(join(root, "1k"), Buffer.alloc(1_024, "x"));
  const server = `server { listen 127.0.0.1:${port} backlog=4096; root ${root}; }`;
  const http = `sendfile on; open_file_cache max=100 inactive=600s; open_file_cache_valid 600s; ${server}`;
  return { ...(await startNginx(processes, directory, http, port)), port };
}

/** nginx as a reverse proxy in front of both origins. */
export async function startNginxProxy(
  processes: Processes,
  directory: string,
  origins: { small: number; bulk: number },
): Promise<Running & { ports: { small: number; bulk: number } }> {
  const ports = { small: await pickFreePort(), bulk: await pickFreePort() };
  const http = ["proxy_buffering on; proxy_max_temp_file_size 0;"];
  for (const name of ["small", "bulk"] as const) {
    http.push(`upstream ${name} { server 127.0.0.1:${origins[name]}; keepalive 300; keepalive_requests 100000000; }`);
    const location = `proxy_pass http://${name}; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;`;
    http.push(
      `server { listen 127.0.0.1:${ports[name]} backlog=4096; location / { ${location} proxy_request_buffering off; } }`,
    );
  }
  const running = await startNginx(processes, directory, http.join("\n"), ports.bulk);
  return { ...running, ports };
}
