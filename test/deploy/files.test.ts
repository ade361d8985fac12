import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { DCLinter } from "dclint";
import { validate as validateDockerfile } from "dockerfile-utils";
import { Deployment } from "kubernetes-models/apps/v1";
import { Ingress, NetworkPolicy } from "kubernetes-models/networking.k8s.io/v1";
import { Namespace, Service } from "kubernetes-models/v1";
import { parse as parseToml } from "smol-toml";
import { describe, expect, it } from "vitest";
import { parseAllDocuments, parse as parseYaml } from "yaml";
import { z } from "zod";
import { SETTINGS } from "../../packages/server/src/config/schema.ts";
import { RELAY_LIMITS } from "../../packages/server/src/limits.ts";
import { appJson, flyToml, renderYaml, workflow } from "./platform-schemas.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");
const NODE_FLAGS = "node --max-semi-space-size=4 --no-incremental-marking --initial-old-space-size=32";
/** Longer than the relay's longest drain. */
const PATIENCE_S = 35;

/** Variables of the relay, by the schema; those of the agent, by its documentation. */
const RELAY_VARIABLES: ReadonlySet<string> = new Set(Object.values(SETTINGS).flatMap(({ env }) => [...env]));
const AGENT_VARIABLES = new Set(["GGROK_RELAY", "GGROK_AUTHTOKEN", "GGROK_CONFIG", "GGROK_LOG_LEVEL"]);

/** Everything in a text that looks like one of our variables. */
function variablesIn(text: string): string[] {
  return [...new Set(text.match(/\bGGROK_[A-Z_]+/g) ?? [])];
}

describe("every variable that is named exists", () => {
  const relayFiles = [
    "fly.toml",
    "app.json",
    "render.yaml",
    "Dockerfile",
    "Procfile",
    "deploy/docker/relay-health.mjs",
  ];
  const composed = ["deploy/compose/compose.yaml", "deploy/compose/.env.example", "deploy/systemd/relay.env.example"];
  const others = ["deploy/systemd/ggrok-relay.service", "deploy/kubernetes/deployment.yaml"];

  it.each([...relayFiles, ...composed, ...others])("for the relay: %s", (file) => {
    expect(variablesIn(read(file)).filter((name) => !RELAY_VARIABLES.has(name))).toEqual([]);
  });

  it.each([
    "deploy/agent/compose.yaml",
    "deploy/agent/.env.example",
    "deploy/agent/github-actions.yml",
    "deploy/agent/ggrok.service",
  ])("for the agent: %s", (file) => {
    expect(variablesIn(read(file)).filter((name) => !AGENT_VARIABLES.has(name))).toEqual([]);
    expect(variablesIn(read("docs/agent.md"))).toEqual(expect.arrayContaining([...AGENT_VARIABLES]));
  });

  it("would notice one that does not", () => {
    expect(variablesIn("GGROK_TOKEN=x GGROK_TOKNE=y").filter((name) => !RELAY_VARIABLES.has(name))).toEqual([
      "GGROK_TOKNE",
    ]);
  });
});

describe("Fly", () => {
  const config = flyToml.parse(parseToml(read("fly.toml")));

  it("gives the relay time to drain, keeps it running and asks whether it is ready", () => {
    expect(config.kill_signal).toBe("SIGTERM");
    expect(config.kill_timeout).toBeGreaterThanOrEqual(PATIENCE_S);
    expect(config.http_service).toMatchObject({ auto_stop_machines: "off", min_machines_running: 1 });
    expect(config.http_service.checks.map(({ path }) => path)).toEqual(["/$$ggrok/ready"]);
    expect(String(config.http_service.internal_port)).toBe(config.env["GGROK_PORT"]);
    expect(existsSync(join(ROOT, config.build.dockerfile))).toBe(true);
  });

  it("has a part for TCP tunnels that is right when it is put in", () => {
    const commented = read("fly.toml").match(/^# (?=\[\[services|\s|protocol)[^\n]*$/gm) ?? [];
    const services = z.strictObject({
      services: z.array(
        z.strictObject({
          internal_port: z.int(),
          protocol: z.enum(["tcp", "udp"]),
          ports: z.array(
            z.strictObject({
              handlers: z.array(z.enum(["proxy_proto", "tls", "http"])),
              proxy_proto_options: z.strictObject({ version: z.enum(["v1", "v2"]) }),
              port: z.int(),
            }),
          ),
        }),
      ),
    });
    expect(services.parse(parseToml(commented.map((line) => line.slice(2)).join("\n"))).services).toHaveLength(1);
  });

  it("is checked by a schema that refuses what Fly does not know", () => {
    const wrong = parseToml(read("fly.toml").replace('auto_stop_machines = "off"', "auto_stop_machines = false"));
    expect(flyToml.safeParse(wrong).success).toBe(false);
  });
});

describe("Heroku", () => {
  it("has an app.json that Heroku knows, with secrets it makes itself", () => {
    const app = appJson.parse(JSON.parse(read("app.json")));
    for (const variable of Object.values(app.env)) expect(variable.generator).toBe("secret");
    expect(Object.keys(app.formation)).toEqual(["web"]);
  });

  it("starts a file that the build makes, with the flags of its first line", () => {
    const [, command = ""] = /^web: (.*)$/m.exec(read("Procfile")) ?? [];
    expect(command.startsWith(NODE_FLAGS)).toBe(true);
    expect(read(command.split(" ").at(-1) ?? "")).toContain(`-S ${NODE_FLAGS}\n`);
  });

  it("needs no script of a package, which would keep the pruning from happening", () => {
    for (const name of [
      "package.json",
      ...["client", "server", "protocol"].map((name) => `packages/${name}/package.json`),
    ]) {
      const { scripts = {} } = z
        .object({ scripts: z.record(z.string(), z.string()).optional() })
        .parse(JSON.parse(read(name)));
      expect(
        Object.keys(scripts).filter((script) => /^(?:pre|post)?(?:install|prepare|publish)$/.test(script)),
      ).toEqual([]);
    }
  });
});

describe("Render", () => {
  it("has a render.yaml that Render knows", () => {
    const [service] = renderYaml.parse(parseYaml(read("render.yaml"))).services;
    expect(service?.maxShutdownDelaySeconds).toBeGreaterThanOrEqual(PATIENCE_S);
    expect(service?.envVars.every(({ key }) => RELAY_VARIABLES.has(key))).toBe(true);
  });
});

describe("containers", () => {
  it("has a Dockerfile of known instructions, without root and without a shell", () => {
    const dockerfile = read("Dockerfile");
    expect(validateDockerfile(dockerfile)).toEqual([]);
    expect(validateDockerfile("FROM node\nRUNN x")).not.toEqual([]);
    const stages = dockerfile.split(/^FROM /m).slice(1);
    for (const stage of stages.filter((text) => /AS (?:relay|agent)$/m.test(text))) {
      expect(stage).toMatch(/^USER node$/m);
      expect(stage).toMatch(/^HEALTHCHECK /m);
      const [, entry = "[]"] = /^ENTRYPOINT (\[.*\])$/m.exec(stage) ?? [];
      expect((JSON.parse(entry) as string[]).join(" ").startsWith(NODE_FLAGS)).toBe(true);
    }
  });

  it.each(["deploy/compose/compose.yaml", "deploy/agent/compose.yaml"])(
    "has compose files by Compose's schema: %s",
    (file) => {
      const schemaErrors = (path: string): string[] => {
        const linter = new DCLinter({ rules: {}, quiet: false, debug: false, exclude: [] });
        const results = linter.lintFiles([path], false) as { messages: { rule: string; message: string }[] }[];
        return results
          .flatMap(({ messages }) => messages)
          .filter(({ rule }) => rule === "invalid-schema" || rule === "invalid-yaml")
          .map(({ message }) => message);
      };
      expect(schemaErrors(join(ROOT, file))).toEqual([]);
      const folder = mkdtempSync(join(tmpdir(), "ggrok-compose-"));
      try {
        const wrong = join(folder, "compose.yaml");
        writeFileSync(wrong, read(file).replace("restart:", "restarts:"));
        expect(schemaErrors(wrong)).not.toEqual([]);
      } finally {
        rmSync(folder, { recursive: true });
      }
    },
  );

  it("gives Caddy a name of the relay's own to ask for certificates under", () => {
    const schema = z.object({
      services: z.object({
        relay: z.object({
          stop_grace_period: z.string(),
          environment: z.record(z.string(), z.string()),
          networks: z.object({ default: z.object({ aliases: z.array(z.string()) }) }),
        }),
        caddy: z.object({ environment: z.record(z.string(), z.string()) }),
      }),
    });
    const { relay, caddy } = schema.parse(parseYaml(read("deploy/compose/compose.yaml"))).services;
    const [alias = ""] = relay.networks.default.aliases;
    expect(caddy.environment["RELAY"]).toBe(`${alias}:8080`);
    expect(relay.environment["GGROK_DOMAIN"]).toContain(alias.slice(0, -1));
    expect(Number.parseInt(relay.stop_grace_period, 10)).toBeGreaterThanOrEqual(PATIENCE_S);
  });
});

describe("systemd", () => {
  it.each([
    ["deploy/systemd/ggrok-relay.service", []],
    ["deploy/agent/ggrok.service", ["--user"]],
  ])("has nothing to say about %s", (file, flags) => {
    const folder = mkdtempSync(join(tmpdir(), "ggrok-systemd-"));
    try {
      // Exit code 0 is not enough: unknown keys are only mentioned.
      expect(verify([...flags, join(ROOT, file)], folder)).toBe("");
      const wrong = join(folder, "wrong.service");
      writeFileSync(wrong, read(file).replace(/^Restart=/m, "Restarts="));
      expect(verify([...flags, wrong], folder)).toContain("Restarts");
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("waits for the drain", () => {
    expect(read("deploy/systemd/ggrok-relay.service")).toContain(`TimeoutStopSec=${PATIENCE_S}\n`);
  });
});

function verify(args: readonly string[], folder: string): string {
  const env = { ...process.env, XDG_RUNTIME_DIR: folder, HOME: folder };
  // Both streams: what it has to say comes on standard error, whatever its exit code.
  return execFileSync("sh", ["-c", 'systemd-analyze verify "$@" 2>&1 || true', "sh", ...args], {
    env,
    encoding: "utf8",
  });
}

describe("Kubernetes", () => {
  const documents = (file: string): unknown[] =>
    parseAllDocuments(read(`deploy/kubernetes/${file}`)).map((document) => document.toJS() as unknown);
  const kustomization = z
    .strictObject({
      apiVersion: z.literal("kustomize.config.k8s.io/v1beta1"),
      kind: z.literal("Kustomization"),
      namespace: z.string(),
      resources: z.array(z.string()),
    })
    .parse(documents("kustomization.yaml")[0]);
  const kinds = { Deployment, Service, Ingress, NetworkPolicy, Namespace };

  it("has objects by the schemas of their kinds", () => {
    const seen: string[] = [];
    for (const file of kustomization.resources) {
      for (const object of documents(file)) {
        const { kind } = z
          .object({ kind: z.enum(["Deployment", "Service", "Ingress", "NetworkPolicy", "Namespace"]) })
          .parse(object);
        new kinds[kind](object as never).validate();
        seen.push(kind);
      }
    }
    expect(seen.toSorted()).toEqual(Object.keys(kinds).toSorted());
    expect(() => new Deployment({ spec: { replicas: "one" } } as never).validate()).toThrow();
  });

  it("gives one relay time to drain and shows it nothing it does not need", () => {
    const deployment = new Deployment(documents("deployment.yaml")[0] as never);
    expect(deployment.spec?.replicas).toBe(1);
    const pod = deployment.spec?.template.spec;
    expect(pod?.terminationGracePeriodSeconds).toBeGreaterThanOrEqual(PATIENCE_S);
    expect(pod?.securityContext?.runAsNonRoot).toBe(true);
    expect(pod?.containers[0]?.securityContext).toMatchObject({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
    });
    expect(pod?.containers[0]?.readinessProbe?.httpGet?.path).toBe("/$$ggrok/ready");
  });
});

describe("CI", () => {
  it("has a workflow by GitHub's schema", () => {
    const parsed = workflow.parse(parseYaml(read("deploy/agent/github-actions.yml")));
    expect(Object.keys(parsed.jobs)).toEqual(["public-url"]);
  });
});

describe("front ends", () => {
  it("give connections up before the relay does", () => {
    const relaySeconds = RELAY_LIMITS.keepAliveMs / 1_000;
    const [, nginx] = /keepalive_timeout (\d+)s;/.exec(read("deploy/nginx/ggrok.conf")) ?? [];
    const [, caddy] = /keepalive (\d+)s/.exec(read("deploy/compose/Caddyfile")) ?? [];
    for (const seconds of [nginx, caddy].map(Number)) {
      expect(seconds).toBeGreaterThan(0);
      expect(seconds).toBeLessThan(relaySeconds);
    }
  });
});
