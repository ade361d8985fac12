import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { writePrivateFile } from "../../config/private-file.ts";
import { configError } from "../../config/values.ts";
import { locateConfig, type RelayFlags } from "../context.ts";
import type { Io } from "../io.ts";
import { checkConfig } from "./config.ts";

const TEMPLATE = `version: 3
# relay: https://relay.example.com
# endpoints:
#   - name: web
#     url: web
#     upstream:
#       url: 3000
`;

/** `ggrok config edit`: the file in the user's editor, checked after. Returns the exit code. */
export async function editConfig(flags: RelayFlags, io: Io): Promise<number> {
  const { configPath } = locateConfig(flags, io);
  if (!existsSync(configPath)) writePrivateFile(configPath, TEMPLATE);
  const { VISUAL, EDITOR } = io.env;
  const editor = VISUAL || EDITOR || (process.platform === "win32" ? "notepad" : "vi");
  const code = await edit(editor, configPath, io);
  if (code !== 0) throw configError(`${editor} ended with ${code}: ${configPath} was not checked`);
  return checkConfig({ config: configPath }, io);
}

/** Both variables hold a command line, as in `code --wait`. */
function edit(editor: string, path: string, io: Io): Promise<number> {
  const isWindows = process.platform === "win32";
  const [program, args] = isWindows ? [`${editor} "${path}"`, []] : ["/bin/sh", ["-c", `${editor} "$1"`, editor, path]];
  const child = spawn(program, args, {
    cwd: io.cwd,
    env: io.env,
    stdio: [io.stdin, io.stdout, io.stderr],
    shell: isWindows,
  });
  return new Promise((resolve, reject) => {
    child.once("error", (cause) => reject(configError(`${editor} cannot be started`, cause)));
    child.once("exit", (code) => resolve(code ?? 1));
  });
}
