FROM oven/bun:1.4.5-slim AS build
WORKDIR /app
COPY package.json bun.lock bunfig.toml ./
RUN bun install --frozen-lockfile --production
COPY drizzle drizzle
COPY src src
COPY cli cli
COPY bin bin
RUN bun run build

# The one file needs a C library, and nothing else.
FROM debian:13-slim
COPY --from=build /app/dist/authctl /usr/local/bin/authctl
RUN groupadd --gid 1000 authctl \
 && useradd --uid 1000 --gid authctl --no-create-home --home-dir /data --shell /usr/sbin/nologin authctl \
 && install -d -m 0700 -o authctl -g authctl /data
USER 1000:1000
WORKDIR /data
# Everything that is written stands in /data: the rest may be mounted read-only.
ENV HOST=0.0.0.0 DATA_DIR=/data
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["authctl", "check", "server", "--quiet"]
# `init` makes what is missing and never overwrites, so that a restart finds what it left.
CMD ["sh", "-c", "authctl init --quiet && exec authctl serve"]
