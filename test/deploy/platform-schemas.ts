import { z } from "zod";

/** Schemas of the platforms' files, written from their references. Strict: a key that a platform does not know is a mistake. */

const seconds = z.int().positive();
const duration = z.string().regex(/^\d+(?:ms|s|m)$/);

/** https://fly.io/docs/reference/configuration/ */
export const flyToml = z.strictObject({
  app: z.string().regex(/^[a-z0-9-]+$/),
  primary_region: z.string().length(3),
  kill_signal: z.enum(["SIGINT", "SIGTERM", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGKILL", "SIGSTOP"]),
  kill_timeout: seconds.max(300),
  build: z.strictObject({ dockerfile: z.string(), "build-target": z.string().optional() }),
  env: z.record(z.string(), z.string()),
  http_service: z.strictObject({
    internal_port: z.int(),
    force_https: z.boolean(),
    auto_stop_machines: z.enum(["off", "stop", "suspend"]),
    auto_start_machines: z.boolean(),
    min_machines_running: z.int(),
    concurrency: z.strictObject({
      type: z.enum(["connections", "requests"]),
      soft_limit: z.int(),
      hard_limit: z.int(),
    }),
    http_options: z.strictObject({ idle_timeout: seconds.max(3_600) }),
    checks: z.array(
      z.strictObject({
        method: z.enum(["GET", "HEAD"]),
        path: z.string().startsWith("/"),
        interval: duration,
        timeout: duration,
        grace_period: duration,
      }),
    ),
  }),
  vm: z.array(z.strictObject({ size: z.string(), memory: z.string().regex(/^\d+(?:mb|gb)$/) })),
});

/** https://devcenter.heroku.com/articles/app-json-schema */
export const appJson = z.strictObject({
  name: z.string().min(3).max(30),
  description: z.string(),
  repository: z.url(),
  keywords: z.array(z.string()),
  stack: z.enum(["heroku-22", "heroku-24", "container"]),
  buildpacks: z.array(z.strictObject({ url: z.string() })),
  formation: z.record(
    z.string(),
    z.strictObject({
      quantity: z.int(),
      size: z.enum(["eco", "basic", "standard-1x", "standard-2x", "performance-m", "performance-l"]),
    }),
  ),
  env: z.record(
    z.string(),
    z.strictObject({
      description: z.string(),
      value: z.string().optional(),
      required: z.boolean().optional(),
      generator: z.literal("secret").optional(),
    }),
  ),
});

/** https://render.com/docs/blueprint-spec */
export const renderYaml = z.strictObject({
  services: z.array(
    z.strictObject({
      type: z.enum(["web", "pserv", "worker", "cron", "keyvalue"]),
      name: z.string(),
      runtime: z.enum(["docker", "node", "image"]),
      dockerfilePath: z.string(),
      plan: z.enum(["free", "starter", "standard", "pro", "pro plus", "pro max", "pro ultra"]),
      numInstances: z.int(),
      healthCheckPath: z.string().startsWith("/"),
      maxShutdownDelaySeconds: z.int().min(1).max(300),
      envVars: z.array(
        z.union([
          z.strictObject({ key: z.string(), value: z.string() }),
          z.strictObject({ key: z.string(), generateValue: z.literal(true) }),
          z.strictObject({ key: z.string(), sync: z.literal(false) }),
        ]),
      ),
    }),
  ),
});

/** https://docs.github.com/actions/reference/workflow-syntax-for-github-actions, as much of it as is used. */
export const workflow = z.strictObject({
  name: z.string(),
  on: z.union([z.string(), z.array(z.string()), z.record(z.string(), z.unknown())]),
  permissions: z.record(z.string(), z.enum(["read", "write", "none"])),
  jobs: z.record(
    z.string(),
    z.strictObject({
      "runs-on": z.string(),
      env: z.record(z.string(), z.string()).optional(),
      steps: z.array(
        z.union([
          z.strictObject({
            name: z.string().optional(),
            uses: z.string(),
            with: z.record(z.string(), z.string()).optional(),
          }),
          z.strictObject({ name: z.string().optional(), run: z.string(), "working-directory": z.string().optional() }),
        ]),
      ),
    }),
  ),
});
