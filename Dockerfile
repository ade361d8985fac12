# Two images: the relay (the last stage, built when no target is named) and the agent (--target agent).
FROM node:24-bookworm-slim AS build
WORKDIR /src
COPY . .
RUN npx --yes pnpm@10.34.9 install --frozen-lockfile
RUN node scripts/build.mjs
# The repository's own Node stays behind: the image has one.
RUN npx --yes pnpm@10.34.9 --filter @ggrok/server --prod deploy /out/relay
RUN npx --yes pnpm@10.34.9 --filter ggrok --prod deploy /out/agent
RUN rm -rf /out/*/node_modules/node-linux-* /out/*/node_modules/.pnpm/node-linux-*

FROM node:24-bookworm-slim AS base
ENV NODE_ENV=production
# Folders for volumes: a new volume gets the owner of the folder it is mounted on.
RUN install -d -o node -g node /data /home/node/.local/state /home/node/.config
WORKDIR /app

FROM base AS agent
COPY --from=build --chown=root:root /out/agent /app
USER node
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["node", "/app/bin/ggrok.js", "status", "--web-addr", "127.0.0.1:4040"]
# No shell in between: signals reach the agent, which lets open exchanges finish.
ENTRYPOINT ["node", "--max-semi-space-size=4", "--no-incremental-marking", "--initial-old-space-size=32", "/app/bin/ggrok.js"]
CMD ["--help"]

FROM base AS relay
COPY --from=build --chown=root:root /out/relay /app
COPY deploy/docker/relay-health.mjs /app/relay-health.mjs
USER node
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["node", "/app/relay-health.mjs"]
# No shell in between: SIGTERM reaches the relay, which drains. Give it 35 s (docker stop -t 35).
ENTRYPOINT ["node", "--max-semi-space-size=4", "--no-incremental-marking", "--initial-old-space-size=32", "/app/bin/ggrok-relay.js"]
