import { describe, expect, it } from "vitest";
import { chooseHistoryQuota, chooseWebAddress } from "./inspector-settings.ts";
import type { FileConfig } from "./schema.ts";
import type { Layers } from "./settings.ts";

function layersOf(project?: FileConfig["agent"], user?: FileConfig["agent"]): Layers {
  return {
    env: {},
    warnings: [],
    ...(project !== undefined && { project: { path: "/p/ggrok.yml", config: { agent: project } } }),
    ...(user !== undefined && { user: { path: "/u/ggrok.yml", config: { agent: user } } }),
  };
}

describe("chooseWebAddress", () => {
  it("takes the project's file before the user's, and ngrok's place where none says anything", () => {
    expect(chooseWebAddress(layersOf({ web_addr: 4050 }, { web_addr: false }))).toEqual({
      host: "127.0.0.1",
      port: 4050,
    });
    expect(chooseWebAddress(layersOf({}, { web_addr: false }))).toBe(false);
    expect(chooseWebAddress(layersOf())).toEqual({ host: "127.0.0.1", port: 4040 });
  });
});

describe("chooseHistoryQuota", () => {
  it("takes each figure from the first file that has it", () => {
    const project = { history: { size: "2GiB" } };
    const user = { history: { size: "1MiB", exchanges: 7, body_size: "64KiB" } };
    expect(chooseHistoryQuota(layersOf(project, user))).toEqual({
      bytesMax: 2_147_483_648,
      exchangesMax: 7,
      bodyBytesMax: 65_536,
    });
    expect(chooseHistoryQuota(layersOf())).toEqual({});
  });
});
