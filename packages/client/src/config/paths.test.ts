import { expect, it } from "vitest";
import { resolvePaths } from "./paths.ts";

it("follows XDG on Linux, with the folders of the specification where it is silent", () => {
  expect(resolvePaths({ env: {}, platform: "linux", home: "/h" })).toEqual({
    userConfig: "/h/.config/ggrok/ggrok.yml",
    stateDir: "/h/.local/state/ggrok",
  });
  expect(resolvePaths({ env: { XDG_CONFIG_HOME: "/c", XDG_STATE_HOME: "/s" }, platform: "linux", home: "/h" })).toEqual(
    {
      userConfig: "/c/ggrok/ggrok.yml",
      stateDir: "/s/ggrok",
    },
  );
});

it("uses the platform's own place elsewhere", () => {
  expect(resolvePaths({ env: {}, platform: "darwin", home: "/Users/a" }).userConfig).toBe(
    "/Users/a/Library/Application Support/ggrok/ggrok.yml",
  );
  expect(
    resolvePaths({ env: { LOCALAPPDATA: "/L", XDG_CONFIG_HOME: "" }, platform: "win32", home: "/h" }).userConfig,
  ).toBe("/L/ggrok/ggrok.yml");
});
