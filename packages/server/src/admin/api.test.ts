import Fastify, { type FastifyInstance } from "fastify";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ApiDeps, createApi } from "./api.ts";

interface Parameter {
  readonly name: string;
  readonly in: string;
  readonly required: boolean;
}
interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly parameters?: readonly Parameter[];
  readonly responses: Readonly<Record<string, { readonly description: string; readonly content?: unknown }>>;
}
interface Description {
  readonly openapi: string;
  readonly info: { readonly title: string; readonly version: string };
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly securitySchemes: Readonly<Record<string, unknown>> };
  readonly security: readonly Readonly<Record<string, unknown>>[];
}

let app: FastifyInstance;
let description: Description;
const routes: string[] = [];
beforeAll(async () => {
  app = Fastify();
  app.addHook("onRoute", ({ method, url }) => {
    for (const each of [method].flat()) if (each !== "HEAD") routes.push(`${each.toLowerCase()} ${url}`);
  });
  // No route is called but the description: the others' answers are tested on a relay.
  const deps = { authenticator: { hasAdmin: true, isAdmin: () => true }, version: "1.2.3" } as unknown as ApiDeps;
  await app.register(createApi(deps), { prefix: "/api" });
  description = (await app.inject("/api/openapi.json")).json();
});
afterAll(() => app.close());

function operations(): { path: string; method: string; operation: Operation }[] {
  return Object.entries(description.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  );
}

describe("the OpenAPI description", () => {
  it("has every route but itself, and no other", () => {
    const described = operations().map(({ path, method }) => `${method} ${path.replace(/\{(\w+)\}/gu, ":$1")}`);
    expect(described.sort()).toEqual(routes.filter((route) => !route.endsWith("openapi.json")).sort());
    expect(described.length).toBeGreaterThan(10);
  });

  it("has what OpenAPI 3.1 demands of a document, its operations and their answers", () => {
    expect(description).toMatchObject({ openapi: "3.1.0", info: { title: "ggrok relay", version: "1.2.3" } });
    const ids = operations().map(({ operation }) => operation.operationId);
    expect(new Set(ids).size).toBe(ids.length);
    for (const { path, operation } of operations()) {
      const inPath = [...path.matchAll(/\{(\w+)\}/gu)].map(([, name]) => name);
      const declared = (operation.parameters ?? []).filter((parameter) => parameter.in === "path");
      expect([path, declared.map(({ name, required }) => [name, required])]).toEqual([
        path,
        inPath.map((name) => [name, true]),
      ]);
      const answers = Object.entries(operation.responses);
      expect(answers.some(([status]) => /^2\d\d$/u.test(status))).toBe(true);
      for (const [status, answer] of answers) {
        expect([path, status, answer.description]).toEqual([path, status, expect.stringMatching(/./u)]);
        expect([path, status, answer.content === undefined]).toEqual([path, status, status === "204"]);
      }
    }
  });

  it("says which right every operation needs, and what it answers without", () => {
    for (const requirement of description.security)
      for (const name of Object.keys(requirement)) expect(description.components.securitySchemes[name]).toBeDefined();
    expect(description.security.length).toBeGreaterThan(0);
    for (const { operation } of operations()) expect(operation.responses["401"]).toBeDefined();
  });

  it("refers to nothing that is not in it", () => {
    const text = JSON.stringify(description);
    for (const [, path = ""] of text.matchAll(/"\$ref":"#\/([^"]*)"/gu)) {
      const found = path
        .split("/")
        .reduce<unknown>((node, key) => (node as Record<string, unknown>)?.[key], description);
      expect(found, path).toBeDefined();
    }
    expect(text).not.toMatch(/"\$ref":"(?!#\/)/u);
  });
});
