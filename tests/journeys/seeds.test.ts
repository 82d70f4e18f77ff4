/** The documents of the templates, as they stand: every command of theirs, on a server with COMPAT_PATHS and their settings. */
import { afterAll, describe, expect, test } from "bun:test";
import type { Answer, Tokens, WireUser } from "../support/client.ts";
import { CookieJar, type SetCookie } from "../support/cookie-jar.ts";
import { Terminal } from "../support/curl.ts";
import { startSeedServer } from "../support/seed-server.ts";
import { commandsOf, readSeed, type SeedName } from "../support/seeds.ts";

const commandUnder = (name: SeedName, heading: string): string => commandsOf(name).get(heading) ?? "";

/** What a document promises of a command's answer, under the words that the command begins with. */
type Row = readonly [heading: string, quoted: string, promise: (answer: Answer<unknown>) => void | Promise<void>];

const rowsAreAll = (name: SeedName, rows: readonly Row[], which: RegExp) =>
  test("every command of the document is a row, word by word", () => {
    const commands = [...commandsOf(name)].filter(([, command]) => which.test(command));
    expect(commands.map(([heading, command]) => [heading, command.split("\n")[0]])).toEqual(
      rows.map(([heading, quoted]) => [heading, quoted]),
    );
  });

const one = await startSeedServer("001");
const two = await startSeedServer("002");
afterAll(() => Promise.all([one.end(), two.end()]));

/** The cookies of the document 001: HttpOnly, Secure, SameSite, for 15 minutes and for 7 days. A sign-in adds one of ours. */
function expectCookies(cookies: readonly SetCookie[]): void {
  const given = cookies.filter(({ name, value }) => value !== "" && name !== "__Host-device");
  expect(given.map(({ name }) => name)).toEqual(["access_token", "refresh_token", "refresh_token"]);
  for (const { name, attributes } of given) {
    expect(attributes).toMatchObject({
      httponly: "",
      secure: "",
      samesite: name === "access_token" ? "Lax" : "Strict",
    });
    const [least, most] = name === "access_token" ? [840, 900] : [604_795, 604_800];
    expect(Number(attributes["max-age"])).toBeWithin(least, most + 1);
  }
}

const isCleared = ({ cookies }: Answer<unknown>) =>
  expect(cookies.map(({ name, value, attributes }) => [name, value, attributes["max-age"]])).toContainEqual([
    "access_token",
    "",
    "0",
  ]);

describe("001, its curl lines", () => {
  const terminal = new Terminal(one);
  afterAll(() => terminal[Symbol.dispose]());
  let cookie = "";

  const rows: readonly Row[] = [
    [
      "### Register a user",
      "curl -X POST http://localhost:8000/auth/register \\",
      ({ status, body }) => {
        expect(status).toBe(201);
        expect(body).toMatchObject({ email: "test@example.com", full_name: "Test User" });
      },
    ],
    [
      "### Login",
      "curl -X POST http://localhost:8000/auth/login \\",
      ({ status, body, cookies }) => {
        expect(status).toBe(200);
        expectCookies(cookies);
        expect(body).not.toHaveProperty("access_token");
        expect(body).not.toHaveProperty("refresh_token");
        cookie =
          cookies.map(({ name, value }) => `${name}=${value}`).find((pair) => pair.startsWith("refresh_token")) ?? "";
      },
    ],
    [
      "### Get current user (using cookies)",
      "curl -X GET http://localhost:8000/users/me \\",
      ({ status, body }) => {
        expect(status).toBe(200);
        expect(body).toMatchObject({ email: "test@example.com" });
      },
    ],
    [
      "### Refresh token",
      "curl -X POST http://localhost:8000/auth/refresh \\",
      ({ status, cookies }) => {
        expect(status).toBe(200);
        expectCookies(cookies);
        expect(cookies.map(({ name, value }) => `${name}=${value}`)).not.toContain(cookie);
      },
    ],
    [
      "### Logout",
      "curl -X POST http://localhost:8000/auth/logout \\",
      async (answer) => {
        expect(answer.status).toBe(204);
        isCleared(answer);
        // curl was not told to forget them: what they hold is worth nothing any more.
        for (const heading of ["### Get current user (using cookies)", "### Refresh token"])
          expect((await terminal.type(commandUnder("001", heading))).status).toBe(401);
      },
    ],
  ];

  test.each(rows)("%s: %s", async (heading, _, promise) => {
    await promise(await terminal.type(commandUnder("001", heading)));
  });
  rowsAreAll("001", rows, /^curl/);
});

describe("001, its endpoints", () => {
  /** Sends a request as the document writes it: a line, headers, a body. */
  const send = (heading: string, jar: CookieJar): Promise<Answer<unknown>> => {
    const [head = "", body] = commandUnder("001", heading).split("\n\n");
    const [method = "", path = ""] = head.split(/[ \n]/);
    return one.send(method, path, body, { jar });
  };
  const signIn = async (): Promise<CookieJar> => {
    const jar = new CookieJar();
    expect((await send("#### Login", jar)).status).toBe(200);
    return jar;
  };

  const rows: readonly Row[] = [
    ["#### Register", "POST /auth/register", ({ status }) => expect(status).toBe(201)],
    [
      "#### Login",
      "POST /auth/login",
      ({ status, cookies }) => {
        expect(status).toBe(200);
        expectCookies(cookies);
      },
    ],
    [
      "#### Refresh Token",
      "POST /auth/refresh",
      ({ status, cookies }) => {
        expect(status).toBe(200);
        expectCookies(cookies);
      },
    ],
    [
      "#### Logout",
      "POST /auth/logout",
      (answer) => {
        expect(answer.status).toBe(204);
        isCleared(answer);
      },
    ],
    [
      "#### Logout from All Devices",
      "POST /auth/logout-all",
      (answer) => {
        expect(answer.status).toBe(200);
        expect((answer.body as { revoked: number }).revoked).toBeGreaterThan(1);
        isCleared(answer);
      },
    ],
    [
      "#### Get Current User",
      "GET /users/me",
      ({ status, body }) => {
        expect(status).toBe(200);
        expect(body).toMatchObject({ email: "user@example.com", full_name: "John Doe" });
      },
    ],
  ];

  test.each(rows)("%s: %s", async (heading, _, promise) => {
    const isNewcomer = ["#### Register", "#### Login"].includes(heading);
    await promise(await send(heading, isNewcomer ? new CookieJar() : await signIn()));
  });
  rowsAreAll("001", rows, /^(?!curl)/);
});

describe("002, its curl lines", () => {
  const terminal = new Terminal(two);
  afterAll(() => terminal[Symbol.dispose]());
  let tokens: Pick<Tokens, "access_token" | "refresh_token"> = { access_token: "", refresh_token: "" };

  const type = (command: string) =>
    terminal.type<unknown>(
      command.replace("YOUR_ACCESS_TOKEN", tokens.access_token).replace("YOUR_REFRESH_TOKEN", tokens.refresh_token),
    );
  /** The models of the document; members may be added to them. */
  const model = (heading: string): string[] =>
    Object.keys(JSON.parse(new RegExp(`${heading}\n\n\`\`\`json\n([^\`]*)`).exec(readSeed("002"))?.[1] ?? ""));
  const expectTokens = ({ status, body }: Answer<unknown>) => {
    expect(status).toBe(200);
    expect(Object.keys(body as Tokens)).toEqual(expect.arrayContaining(model("### Token Model")));
    expect((body as Tokens).token_type.toLowerCase()).toBe("bearer");
    // ACCESS_TOKEN_EXPIRE_MINUTES=30 and REFRESH_TOKEN_EXPIRE_DAYS=7.
    expect((body as Tokens).expires_in).toBeWithin(1700, 1801);
    expect((body as Tokens).refresh_expires_in).toBe(604_800);
    tokens = body as Tokens;
  };

  /** What stands in the document is no JSON, and lacks its last quotation mark; what is meant is plain. */
  const broken = `${commandUnder("002", "### 2. Login and Get Tokens")}'`;
  const meant = broken.replace("  {\n", "").replace(/ {2}\}\n?'$/, "}'");

  const rows: readonly Row[] = [
    [
      "### 1. Register a New User",
      'curl -X POST "http://127.0.0.1:8000/api/v1/auth/register" \\',
      ({ status, body }) => {
        expect(status).toBe(201);
        expect(Object.keys(body as WireUser)).toEqual(expect.arrayContaining(model("### User Model")));
        const user = { email: "user@example.com", username: "testuser", is_active: true, is_admin: false };
        expect(body).toMatchObject(user);
      },
    ],
    [
      "### 2. Login and Get Tokens",
      'curl -X POST "http://127.0.0.1:8000/api/v1/auth/login" \\',
      async (answer) => {
        expect([answer.status, answer.body]).toMatchObject([400, { code: "malformed_request" }]);
        expectTokens(await type(meant));
      },
    ],
    [
      "### 3. Access Protected Endpoints",
      'curl -X GET "http://127.0.0.1:8000/api/v1/users/me" \\',
      ({ status, body }) => {
        expect(status).toBe(200);
        expect(body).toMatchObject({ username: "testuser" });
      },
    ],
    [
      "### 4. Refresh Tokens",
      'curl -X POST "http://127.0.0.1:8000/api/v1/auth/refresh" \\',
      (answer) => {
        const before = tokens.refresh_token;
        expectTokens(answer);
        expect(tokens.refresh_token).not.toBe(before);
      },
    ],
    [
      "### 5. Logout",
      'curl -X POST "http://127.0.0.1:8000/api/v1/auth/logout" \\',
      async ({ status }) => {
        expect(status).toBe(204);
        for (const heading of ["### 3. Access Protected Endpoints", "### 4. Refresh Tokens"])
          expect((await type(commandUnder("002", heading))).status).toBe(401);
      },
    ],
  ];

  test.each(rows)("%s: %s", async (heading, _, promise) => {
    const command = commandUnder("002", heading);
    await promise(await type(heading === "### 2. Login and Get Tokens" ? broken : command));
  });
  rowsAreAll("002", rows, /^curl/);

  test("members that would make an admin have no effect", async () => {
    const line = commandUnder("002", "### 1. Register a New User")
      .replace('"is_admin": false', '"is_admin": true')
      .replace('"is_active": true', '"is_active": false')
      .replaceAll(/user@example.com|testuser/g, (name) => `other${name}`);
    const { status, body } = await type(line);
    expect([status, body]).toMatchObject([201, { is_admin: false, is_active: true }]);
  });
});
