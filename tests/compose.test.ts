/** Without an engine at hand: what `docker compose config` would refuse, and what would not start. */
import { afterAll, describe, expect, test } from "bun:test";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { databaseUrl, secrets as serverSecrets } from "../src/config/parsers.ts";
import { loadConfig } from "../src/config.ts";

type Service = {
  readonly image?: string;
  readonly build?: string;
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string | number>>;
  readonly secrets?: readonly string[];
  readonly networks?: readonly string[];
  readonly volumes?: readonly string[];
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly healthcheck?: { readonly test: readonly string[] };
};
type Compose = {
  readonly services: Readonly<Record<string, Service>>;
  readonly secrets: Readonly<Record<string, { readonly file: string }>>;
  readonly networks: Readonly<Record<string, unknown>>;
  readonly volumes: Readonly<Record<string, unknown>>;
};

const root = join(import.meta.dir, "..");
const read = (file: string): string => readFileSync(join(root, file), "utf8");
const compose = Bun.YAML.parse(read("compose.yaml")) as Compose;
const services = Object.entries(compose.services);
const servers = services.filter(([, { command }]) => command?.join(" ") === "authctl serve");

const directory = mkdtempSync(join(tmpdir(), "authctl-deploy-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
const makeSecrets = (): string => {
  const made = Bun.spawnSync(["sh", join(directory, "make-secrets")]);
  expect(made.exitCode).toBe(0);
  return readdirSync(join(directory, "secrets"))
    .map((name) => `${name} ${readFileSync(join(directory, "secrets", name), "utf8")}`)
    .join("\n");
};

describe("compose.yaml", () => {
  test.each(services)("%s names only what there is", (_, service) => {
    for (const name of service.secrets ?? []) expect(compose.secrets).toHaveProperty(name);
    for (const name of service.networks ?? []) expect(compose.networks).toHaveProperty(name);
    for (const [name, { condition }] of Object.entries(service.depends_on ?? {})) {
      expect(compose.services).toHaveProperty(name);
      if (condition === "service_healthy") expect(compose.services[name]?.healthcheck).toBeDefined();
    }
    for (const volume of service.volumes ?? []) {
      const [source = ""] = volume.split(":");
      if (source.startsWith("./")) expect(statSync(join(root, source)).isFile()).toBeTrue();
      else expect(compose.volumes).toHaveProperty(source);
    }
    expect(service.image ?? service.build).toBeDefined();
  });

  test("has two servers that differ in nothing, started after the migration", () => {
    expect(servers).toHaveLength(2);
    expect(servers[0]?.[1]).toEqual(servers[1]![1]);
    expect(servers[0]?.[1].depends_on).toMatchObject({ migrate: { condition: "service_completed_successfully" } });
    expect(compose.services["migrate"]?.command).toEqual(["authctl", "migrate", "up"]);
    expect(compose.services["migrate"]?.environment).toEqual(servers[0]?.[1].environment ?? {});
  });

  test("the proxy sends requests to these servers, where they listen", () => {
    const [, line = ""] = /reverse_proxy (.*) \{/.exec(read("deploy/Caddyfile")) ?? [];
    expect(line.split(" ")).toEqual(servers.map(([name, { environment }]) => `${name}:${environment?.["PORT"]}`));
    expect(read("deploy/Caddyfile")).toContain("health_uri /readyz");
  });

  test("`deploy/make-secrets` makes every secret once, for its owner alone, and the settings are fit for production", () => {
    cpSync(join(root, "deploy/make-secrets"), join(directory, "make-secrets"));
    const made = makeSecrets();
    expect(makeSecrets()).toBe(made);
    const env: Record<string, string> = {};
    for (const [name, value] of Object.entries(servers[0]![1].environment!)) {
      const [, fallback = String(value)] = /^\$\{\w+:-(.*)\}$/.exec(String(value)) ?? [];
      env[name] = fallback.replace("/run/secrets", join(directory, "secrets"));
    }
    for (const { file } of Object.values(compose.secrets)) {
      expect(statSync(file.replace("./deploy", directory)).mode & 0o777).toBe(0o600);
    }
    const { config, problems } = loadConfig(env, { cwd: directory });
    expect(problems).toEqual([]);
    expect(config.DATABASE_URL.dialect).toBe("postgres");
    const secret = (name: string) => readFileSync(join(directory, "secrets", name), "utf8");
    expect(serverSecrets(secret("server_secret"))).toHaveLength(1);
    expect(databaseUrl(secret("database_url"))).toEqual({
      dialect: "postgres",
      url: `postgres://authctl:${secret("postgres_password")}@postgres:5432/authctl`,
    });
  });
});
