FROM oven/bun:1.4.5-slim AS dependencies
WORKDIR /app
COPY package.json bun.lock bunfig.toml ./
RUN bun install --frozen-lockfile --production

FROM oven/bun:1.4.5-slim
WORKDIR /app
COPY --from=dependencies /app/node_modules node_modules
COPY package.json bunfig.toml ./
COPY drizzle drizzle
COPY src src
COPY cli cli
RUN ln -s /app/cli/authctl.ts /usr/local/bin/authctl \
 && install -d -m 0700 -o bun -g bun /data
USER bun
WORKDIR /data
ENV HOST=0.0.0.0 DATA_DIR=/data
VOLUME /data
EXPOSE 8000
# `init` makes what is missing and never overwrites, so that a restart finds what it left.
CMD ["sh", "-c", "authctl init --quiet && exec authctl serve"]
