import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { Shell } from "../support/cli.ts";
import { goodPassword } from "../support/core.ts";
import { freePort } from "../support/free-port.ts";
import { readSeed } from "../support/seeds.ts";
import { until } from "../support/until.ts";

type Child = ReturnType<Shell["start"]>;

/** Reads until `pattern` has come; fails with what did come where it ends without. */
async function readUntil(stream: ReadableStream<Uint8Array>, pattern: RegExp): Promise<string> {
  const decoder = new TextDecoder();
  const reader = stream.getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`ended without ${pattern}: ${text}`);
    text += decoder.decode(value, { stream: true });
    if (pattern.test(text)) break;
  }
  reader.releaseLock();
  return text;
}

async function serving(shell: Shell, flags: string, env: Record<string, string> = {}, pattern = /serves .*\n/) {
  const child = shell.start(`serve ${flags}`.split(" "), { env });
  const said = await readUntil(child.stderr, pattern);
  return { child, said, url: /serves (http:\/\/[\w.:[\]]+)/.exec(said)![1]! };
}

async function stopped(child: Child, signal: "SIGTERM" | "SIGINT" = "SIGTERM"): Promise<number> {
  child.kill(signal);
  return await child.exited;
}

const healthy = async (url: string) => (await fetch(`${url}/health`)).ok;
const isGone = async (url: string) => !(await fetch(`${url}/health`).catch(() => undefined));
/** Whether nobody listens there any more: one of several workers that is gone refuses a request, too. */
async function isFree(url: string): Promise<boolean> {
  const { hostname, port } = new URL(url);
  try {
    await Bun.serve({ hostname, port, fetch: () => new Response() }).stop(true);
    return true;
  } catch {
    return false;
  }
}
/** In what `ps` knows, the workers of a supervisor. */
const childrenOf = (child: Child) =>
  readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8").trim().split(" ").map(Number);

describe.concurrent("serve", () => {
  test("begins from nothing, and tells the way to a first token, which works as it stands", async () => {
    using shell = new Shell();
    const { child, url, said } = await serving(shell, "--port 0", {}, /admin seed/);
    expect(await healthy(url)).toBeTrue();
    const lines = said.split("\n").filter((line) => line.includes("curl"));
    expect(lines).toHaveLength(2);
    for (const line of lines) {
      const [, address, body] = /curl -s (\S+) .* -d '(.*)'/.exec(line) ?? [];
      const answer = await fetch(address!, {
        method: "POST",
        body: body!,
        headers: { "Content-Type": "application/json" },
      });
      expect(answer.ok).toBeTrue();
      if (address?.endsWith("/login")) expect(await answer.json()).toHaveProperty("access_token");
    }
    expect(await stopped(child)).toBe(0);
  });

  test("says one line where nothing was made, and ends with 0 on SIGINT", async () => {
    using shell = new Shell();
    await shell.run("init");
    const { child, said } = await serving(shell, "--port 0");
    expect(said).toMatch(/^authctl \S+ serves http:\/\/127\.0\.0\.1:\d+; its pages are at http\S+\/docs\n$/);
    expect(await stopped(child, "SIGINT")).toBe(0);
  });

  test("starts from a template's settings file as it stands, makes its admin, and says what is left to fill in", async () => {
    using shell = new Shell({ COMPAT_PATHS: "true" });
    writeFileSync(shell.file(".env"), /```env\n([^]*?)```/.exec(readSeed("002"))![1]!);
    const { child, url, said } = await serving(shell, "--port 0", {}, /first token/);
    for (const name of ["SECRET_KEY", "ADMIN_EMAIL", "ADMIN_PASSWORD"])
      expect(said).toContain(`warning: ${name} looks like a placeholder`);
    expect(said).toContain("made the first admin your-admin@example.com");
    expect(said).not.toContain("your-secure-password");
    const body = JSON.stringify({ username: "youradmin", password: "your-secure-password" });
    const headers = { "Content-Type": "application/json" };
    const login = await fetch(`${url}/auth/login`, { method: "POST", headers, body });
    expect(await login.json()).toMatchObject({ user: { is_admin: true } });
    expect(await stopped(child)).toBe(0);
    expect((await shell.run("serve", { env: { NODE_ENV: "production" } })).stderr).toContain(
      "ADMIN_PASSWORD looks like",
    );
  });

  test("makes one admin, and starts its workers, where the settings name one", async () => {
    const admin = { ADMIN_EMAIL: "ada@acme.dev", ADMIN_PASSWORD: goodPassword };
    using shell = new Shell(admin);
    const { child } = await serving(shell, `--port ${await freePort()} --workers 2`, {}, /serves .*\n/);
    expect(await stopped(child)).toBe(0);
    expect(await shell.json("admin list")).toMatchObject([{ email: "ada@acme.dev" }]);
  });

  test("answers `check server`, and shows its docs page with everything that the page loads", async () => {
    using shell = new Shell();
    const port = await freePort();
    const PORT = String(port);
    expect(await shell.run("check server", { env: { PORT } })).toMatchObject({ code: 69, stdout: "" });
    const { child, url } = await serving(shell, `--host 0.0.0.0 --port ${port}`);
    expect(await shell.json("check server", { env: { PORT, HOST: "0.0.0.0" } })).toMatchObject({ ready: true });
    const page = await (await fetch(`http://127.0.0.1:${port}/docs`)).text();
    const loaded = [...page.matchAll(/(?:src|href)="(\/[^"]+)"/g)].map(([, path]) => path!);
    expect(loaded.length).toBeGreaterThan(2);
    for (const path of [...loaded, "/openapi.json"])
      expect((await fetch(`http://127.0.0.1:${port}${path}`)).status).toBe(200);
    expect(url).toContain(PORT);
    expect(await stopped(child)).toBe(0);
  });

  test("lets flags win over the settings", async () => {
    using shell = new Shell();
    writeFileSync(shell.file(".env"), "HOST=127.0.0.1\nPORT=1\n");
    const port = await freePort();
    const { child, url } = await serving(shell, `--host ::1 --port ${port}`, { PORT: "2" });
    expect(url).toBe(`http://[::1]:${port}`);
    expect(await healthy(url)).toBeTrue();
    expect(await stopped(child)).toBe(0);
  });

  test("shares its database with the command line", async () => {
    using shell = new Shell();
    const { child, url } = await serving(shell, "--port 0");
    const email = "ada@example.com";
    expect((await shell.run(`admin seed --email ${email} --password-stdin`, { input: goodPassword })).code).toBe(0);
    const headers = { "Content-Type": "application/json" };
    const body = JSON.stringify({ email, password: goodPassword });
    const login = await fetch(`${url}/api/v1/auth/login`, { method: "POST", headers, body });
    const { access_token, session_id } = (await login.json()) as { access_token: string; session_id: string };
    const me = () => fetch(`${url}/api/v1/users/me`, { headers: { Authorization: `Bearer ${access_token}` } });
    expect((await me()).status).toBe(200);
    expect(await shell.json("token inspect", { input: access_token })).toMatchObject({ alive: true, session_id });
    expect((await shell.run("token purge")).code).toBe(0);
    expect((await shell.run(`session revoke ${session_id} --yes`)).code).toBe(0);
    expect((await me()).status).toBe(401);
    expect(await stopped(child)).toBe(0);
  });

  test("says which port is taken, alone and with workers", async () => {
    using shell = new Shell();
    const { child, url } = await serving(shell, "--port 0");
    const { port } = new URL(url);
    for (const workers of [1, 2]) {
      const second = await shell.run(`serve --port ${port} --workers ${workers} --json`);
      expect(second.code).toBe(69);
      expect(JSON.parse(second.stderr.trim().split("\n").at(-1)!)).toMatchObject({
        code: "address_in_use",
        detail: expect.stringContaining(port),
      });
    }
    expect(await stopped(child)).toBe(0);
  });

  test("refuses pending migrations where it is told to", async () => {
    using shell = new Shell();
    await shell.run("migrate up");
    await shell.run("migrate down --yes");
    // Else it would be an empty database, which nobody has to be careful with.
    const db = new Database(shell.file("data/auth.db"));
    db.run("INSERT INTO schema_migrations (id, sha256, applied_at, additive) VALUES ('9999_ahead', 'x', 1, 1)");
    db.close();
    const { code, stderr } = await shell.run("serve --migrate check --port 0");
    expect(code).toBe(78);
    expect(stderr).toContain("authctl migrate up");
    const { child } = await serving(shell, "--port 0");
    expect(await stopped(child)).toBe(0);
  });

  test("refuses unsafe settings in production before it makes anything", async () => {
    using shell = new Shell({ NODE_ENV: "production" });
    const { code, stderr } = await shell.run("serve");
    expect(code).toBe(78);
    expect(stderr).toContain("PUBLIC_URL");
  });

  test.each(["--port 65536", "--port x", "--workers 0", "--workers 65", "--migrate never", "8000", "--prot 1"])(
    "refuses %s",
    async (flags) => {
      using shell = new Shell();
      expect((await shell.run(`serve ${flags}`)).code).toBe(2);
    },
  );

  test.each([
    ["an address that is not of this machine", { HOST: "203.0.113.1" }, "HOST cannot be listened on (EADDRNOTAVAIL)."],
    ["a name that nobody knows", { HOST: "nowhere.invalid" }, "HOST cannot be listened on (EINVAL)."],
    ["an address in brackets", { HOST: "[::1]" }, "HOST must be an IP address"],
    ["half an address", { HOST: "127.0.0" }, "HOST must be an IP address"],
    [
      "an address for metrics that is not of this machine",
      { METRICS_HOST: "203.0.113.1" },
      "METRICS_HOST cannot be listened on (EADDRNOTAVAIL).",
    ],
  ])("refuses %s, alone and with workers", async (_, env, words) => {
    using shell = new Shell();
    const ports = { PORT: String(await freePort()), METRICS_PORT: String(await freePort()) };
    for (const WORKERS of ["1", "2"]) {
      const { code, stderr } = await shell.run("serve", { env: { ...ports, ...env, WORKERS } });
      expect({ code, stderr }).toEqual({ code: 78, stderr: expect.stringContaining(`\n  ${words}`) });
    }
  });

  test("refuses a shared port that nobody knows", async () => {
    using shell = new Shell();
    expect((await shell.run("serve --port 0 --workers 2")).code).toBe(78);
  });
});

describe.concurrent("serve with workers", () => {
  test("answers, replaces a worker that was killed, and stops all of them", async () => {
    using shell = new Shell();
    writeFileSync(shell.file("other.env"), "REFRESH_GRACE=3s\n", { mode: 0o600 });
    const { child, said, url } = await serving(shell, `--port ${await freePort()} --workers 2 --env-file other.env`);
    expect(said).toContain("with 2 workers");
    const before = childrenOf(child);
    expect(before).toHaveLength(2);
    process.kill(before[0]!, "SIGKILL");
    expect(await readUntil(child.stderr, /starts in/)).toContain("A worker ended with exit code 137");
    expect(await healthy(url)).toBeTrue();
    while (childrenOf(child).length < 2) await Bun.sleep(50);
    const after = childrenOf(child);
    expect(after).toContain(before[1]!);
    expect(after).not.toContain(before[0]!);
    expect(await stopped(child)).toBe(0);
    expect(await isGone(url)).toBeTrue();
  });

  test("leaves nobody behind when the supervisor itself is killed", async () => {
    using shell = new Shell();
    const { child, url } = await serving(shell, `--port ${await freePort()} --workers 2`);
    child.kill("SIGKILL");
    await child.exited;
    await until("the end of every worker", () => isFree(url));
    expect(await isGone(url)).toBeTrue();
  });
});
