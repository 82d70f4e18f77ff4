/** Rules BR-1 and BR-2 in a real browser, which sends what no test of ours would think of. Runs where Chromium is installed. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { goodPassword } from "../support/core.ts";
import { freePort } from "../support/free-port.ts";
import { newEmail, signUp } from "../support/people.ts";
import { startServer, type TestServer } from "../support/server.ts";
import { until } from "../support/until.ts";

/** What a page has seen, step by step: an outcome for each attempt. */
type Report = Readonly<Record<string, string | number>>;

/** What runs in both pages: `outcome` says how far an attempt came, and `tell` ends the visit. */
const common = `
  const outcome = async (attempt) => {
    try {
      const answer = await attempt();
      return answer.type === "opaque" ? "opaque" : answer.status + " " + (await answer.text()).slice(0, 60);
    } catch (error) { return error.name; }
  };
  const tell = (report) => fetch("/report", { method: "POST", body: JSON.stringify(report) });
  const json = { "content-type": "application/json" };
  const post = (path, body, more) =>
    fetch(auth + path, { method: "POST", credentials: "include", headers: json, body: JSON.stringify(body), ...more });
  const me = () => fetch(auth + "/api/v1/users/me", { credentials: "include" });`;

const pageOf = (auth: string, script: string): Response =>
  new Response(`<!doctype html><script type="module">const auth = "${auth}";${common}${script}</script>`, {
    headers: { "content-type": "text/html" },
  });

const chromium = Bun.which("chromium") ?? Bun.which("chromium-browser") ?? Bun.which("google-chrome");

if (chromium !== null) {
  let server: TestServer;
  const profile = mkdtempSync(join(tmpdir(), "authctl-chromium-"));
  const reports: Report[] = [];
  const email = newEmail("browser");
  const ports = { app: 0, evil: 0 };

  /** Of two origins on one site, so that SameSite keeps no cookie away from either. */
  const serve = (port: number, script: () => string) =>
    Bun.serve({
      port,
      hostname: "127.0.0.1",
      fetch: async (request) => {
        if (new URL(request.url).pathname !== "/report")
          return pageOf(`http://localhost:${new URL(server.url).port}`, script());
        reports.push((await request.json()) as Report);
        return new Response("");
      },
    });
  let pages: Array<ReturnType<typeof serve>> = [];

  const credentials = JSON.stringify({ email, password: goodPassword, credential: "session", delivery: "cookie" });
  const appScript = () =>
    reports.length > 0
      ? `await tell({ read: await outcome(me) });`
      : `
    await tell({
      login: await outcome(() => post("/api/v1/auth/login", ${credentials})),
      read: await outcome(me),
      write: await outcome(() => fetch(auth + "/api/v1/users/me",
        { method: "PATCH", credentials: "include", headers: json, body: '{"full_name":"By the app"}' })),
    });
    location.href = "http://localhost:${ports.evil}/";`;
  const evilScript = () => `
    const text = { "content-type": "text/plain" };
    const frame = document.createElement("iframe");
    frame.name = "frame";
    document.body.append(frame);
    const submit = (path, enctype) => new Promise((done) => {
      const form = document.createElement("form");
      Object.assign(form, { method: "post", action: auth + path, target: "frame", enctype });
      frame.onload = done;
      document.body.append(form);
      form.submit();
    });
    await submit("/api/v1/auth/logout-all", "text/plain");
    await submit("/api/v1/auth/logout", "application/x-www-form-urlencoded");
    await tell({
      read: await outcome(me),
      "read without looking": await outcome(() => fetch(auth + "/api/v1/users/me", { credentials: "include", mode: "no-cors" })),
      patch: await outcome(() => fetch(auth + "/api/v1/users/me",
        { method: "PATCH", credentials: "include", headers: json, body: '{"full_name":"By another"}' })),
      "a simple post": await outcome(() => post("/api/v1/auth/logout-all", {}, { headers: text })),
      "a blind post": await outcome(() => post("/api/v1/auth/logout-all", {}, { headers: text, mode: "no-cors" })),
      "a blind post with no body": await outcome(() =>
        fetch(auth + "/api/v1/auth/logout", { method: "POST", credentials: "include", mode: "no-cors" })),
      token: await outcome(() => fetch(auth + "/api/v1/auth/csrf", { credentials: "include" })),
      login: await outcome(() => post("/api/v1/auth/login", ${credentials})),
    });
    location.href = "http://localhost:${ports.app}/";`;

  beforeAll(async () => {
    ports.app = await freePort();
    ports.evil = await freePort();
    pages = [
      serve(ports.app, appScript),
      serve(ports.evil, () => `document.body ??= document.createElement("body");${evilScript()}`),
    ];
    server = await startServer({ ALLOWED_ORIGINS: `http://localhost:${ports.app}`, COOKIE_SECURE: "false" });
    await signUp(server, email);
  });
  afterAll(async () => {
    for (const page of pages) await page.stop(true);
    await server?.end();
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  });

  /** What the pages tell, one after the other, of one visit: each sends the browser on to the next. */
  async function visit(port: number): Promise<void> {
    const words = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", `--user-data-dir=${profile}`];
    const child = Bun.spawn([chromium!, ...words, `http://localhost:${port}/`], { stdout: "ignore", stderr: "ignore" });
    await until("the last page has told", () => reports.length === 3, 60_000);
    child.kill("SIGKILL");
    await child.exited;
  }

  test("BR-1 BR-2 a page of another origin reads nothing and changes nothing, and a listed one does", async () => {
    await visit(ports.app);
    const [app, evil, again] = reports as [Report, Report, Report];
    for (const step of ["login", "read", "write"]) expect(app[step], step).toStartWith("200 ");

    expect(evil).toEqual({
      read: "TypeError",
      "read without looking": expect.stringMatching(/^(opaque|TypeError)$/),
      patch: "TypeError",
      "a simple post": "TypeError",
      "a blind post": expect.stringMatching(/^(opaque|TypeError)$/),
      "a blind post with no body": expect.stringMatching(/^(opaque|TypeError)$/),
      token: "TypeError",
      login: "TypeError",
    });
    // What it sent came with the cookies: it was refused for its type, or for where it came from.
    const all = () => server.log.filter(({ route }) => String(route).startsWith("/api/v1/auth/logout"));
    await until("the lines of the log", () => all().length >= 5);
    const posted = all();
    expect(new Set(posted.map(({ status }) => status))).toEqual(new Set([403, 415]));

    expect(again["read"]).toContain('"email"');
    const { body } = await server.post<{ user: { full_name: string } }>("/api/v1/auth/login", {
      email,
      password: goodPassword,
    });
    expect(body.user.full_name).toBe("By the app");
  }, 120_000);
}
