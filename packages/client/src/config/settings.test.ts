import { describe, expect, it } from "vitest";
import type { FileConfig } from "./schema.ts";
import { chooseAuthorities, chooseRelay, chooseToken, type Layers } from "./settings.ts";

function layers(o: { env?: NodeJS.ProcessEnv; project?: FileConfig; user?: FileConfig }): Layers {
  return {
    env: o.env ?? {},
    ...(o.project && { project: { path: "/p/ggrok.yml", config: o.project } }),
    ...(o.user && { user: { path: "/u/ggrok.yml", config: o.user } }),
    warnings: [],
  };
}

function tokenFor(given: Layers, flags: { relay?: string; authtoken?: string } = {}) {
  const relay = chooseRelay(given, flags);
  if (relay === undefined) throw new Error("no relay");
  return chooseToken(given, relay, flags.authtoken);
}

describe("chooseRelay", () => {
  it("takes flag, environment, project file, user file in this order", () => {
    const all = layers({
      env: { GGROK_RELAY: "env.example" },
      project: { relay: "project.example" },
      user: { relay: "user.example" },
    });
    expect(chooseRelay(all, { relay: "flag.example" })).toMatchObject({
      source: "flag",
      value: { origin: "https://flag.example" },
    });
    expect(chooseRelay(all, {})).toMatchObject({ source: "environment", value: { origin: "https://env.example" } });
    expect(chooseRelay({ ...all, env: {} }, {})).toMatchObject({ source: "project" });
    expect(chooseRelay(layers({ user: { relay: "user.example" } }), {})).toMatchObject({ source: "user" });
    expect(chooseRelay(layers({}), {})).toBeUndefined();
  });
});

describe("chooseAuthorities", () => {
  it("finds a file's own bundle beside that file, and a flag's from where one stands", () => {
    const both = layers({ project: { ca: "own.pem" }, user: { ca: "company.pem" } });
    expect(chooseAuthorities("here.pem", both, "/cwd")).toEqual({ value: "/cwd/here.pem", source: "flag" });
    expect(chooseAuthorities(undefined, both, "/cwd")).toEqual({ value: "/p/own.pem", source: "project" });
    const { project: _project, ...users } = both;
    expect(chooseAuthorities(undefined, users, "/cwd")).toEqual({ value: "/u/company.pem", source: "user" });
    expect(chooseAuthorities("/abs.pem", both, "/cwd")?.value).toBe("/abs.pem");
    expect(chooseAuthorities(undefined, layers({}), "/cwd")).toBeUndefined();
  });
});

describe("chooseToken", () => {
  it("sends GGROK_AUTHTOKEN to relays of the user's own naming only", () => {
    const env = { GGROK_AUTHTOKEN: "secret" };
    expect(tokenFor(layers({ env: { ...env, GGROK_RELAY: "a.example" } })).token).toBe("secret");
    expect(tokenFor(layers({ env, user: { relay: "a.example" } })).token).toBe("secret");
    expect(tokenFor(layers({ env }), { relay: "a.example" }).token).toBe("secret");
    const stranger = tokenFor(layers({ env, project: { relay: "evil.example" }, user: { relay: "a.example" } }));
    expect(stranger.token).toBeUndefined();
    expect(stranger.note).toMatch(/not sent to https:\/\/evil.example/);
  });

  it("sends it when the user names the same relay as the project", () => {
    const env = { GGROK_AUTHTOKEN: "secret" };
    expect(tokenFor(layers({ env, project: { relay: "a.example" }, user: { relay: "https://a.example" } })).token).toBe(
      "secret",
    );
    expect(
      tokenFor(layers({ env, project: { relay: "a.example" }, user: { tokens: { "https://a.example": "filed" } } }))
        .token,
    ).toBe("secret");
  });

  it("keeps filed tokens to their origin", () => {
    const user: FileConfig = {
      relay: "a.example",
      agent: { authtoken: "for-a" },
      tokens: { "https://b.example": "for-b" },
    };
    expect(tokenFor(layers({ user })).token).toBe("for-a");
    expect(tokenFor(layers({ user }), { relay: "b.example" }).token).toBe("for-b");
    expect(tokenFor(layers({ user }), { relay: "c.example" }).token).toBeUndefined();
    expect(tokenFor(layers({ user, project: { relay: "c.example" } })).token).toBeUndefined();
    expect(tokenFor(layers({ user }), { relay: "http://localhost:1" }).token).toBeUndefined();
  });

  it("lets a project file name no secret of this machine", () => {
    const project: FileConfig = { relay: "evil.example", agent: { authtoken: "env:AWS_SECRET" } };
    expect(tokenFor(layers({ env: { AWS_SECRET: "x" }, project })).token).toBeUndefined();
    expect(tokenFor(layers({ project: { relay: "a.example", agent: { authtoken: "its-own" } } })).token).toBe(
      "its-own",
    );
  });

  it("puts the flag first", () => {
    const env = { GGROK_AUTHTOKEN: "secret", OTHER: "o" };
    expect(tokenFor(layers({ env }), { relay: "a.example", authtoken: "env:OTHER" }).token).toBe("o");
  });
});
