/**
 * Whole systems move in, and out again. `IMPORT_USERS=10000` makes it so many users of every kind, and
 * `EXPORT_USERS=1000000` a longer export.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { sourceNames } from "../../src/core/importing/foreign-user.ts";
import { isCurrentHash, sealHash } from "../../src/core/passwords.ts";
import { findUser } from "../../src/core/users.ts";
import { seededChance, wholeFrom } from "../support/chance.ts";
import type { WireUser } from "../support/client.ts";
import { authctl } from "../support/command.ts";
import { dialect } from "../support/database.ts";
import { emailOf, foreignPassword, foreignUsers, hashConfig, ndjson } from "../support/foreign-users.ts";
import { besides, signIn } from "../support/people.ts";
import { startPostgres } from "../support/postgres-server.ts";
import { startServer, type TestServer } from "../support/server.ts";
import { until } from "../support/until.ts";

const most = wholeFrom("IMPORT_USERS", 10_000);
const ofOthers = wholeFrom("IMPORT_USERS", 1_000);
const exportedUsers = wholeFrom("EXPORT_USERS", 60_000);
const patience = 120_000 + 8 * most + exportedUsers;

type Done = { readonly imported: number; readonly already: number; readonly refused: number };

const program = join(import.meta.dir, "../../cli/authctl.ts");
const start = (
  env: Readonly<Record<string, string>>,
  words: readonly string[],
  stdout: "ignore" | Bun.BunFile = "ignore",
) =>
  Bun.spawn([process.execPath, "--no-env-file", program, ...words], {
    cwd: env["DATA_DIR"] ?? ".",
    env: { PATH: process.env["PATH"] ?? "", ...env },
    stdin: "ignore",
    stdout,
    stderr: "ignore",
  });

describe("moving in", () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startServer();
    await Bun.write(join(server.directory, "hash-config"), hashConfig);
  }, patience);
  afterAll(() => server?.end());

  const importing = async (words: string): Promise<Done> => {
    const ran = await authctl(server.env, `user import ${words} --json`.split(" "));
    expect(ran, ran.stderr).toMatchObject({ code: 0 });
    return JSON.parse(ran.stdout) as Done;
  };

  test.each([...sourceNames])(
    "all users of %s, while the server runs: whoever signs in has a hash of ours from then on",
    async (source) => {
      const number = source === "fastapi-users" ? most : ofOthers;
      // The systems do not know each other's user names, and here all of them meet.
      const users = foreignUsers(source, number).map((one) => ({ ...one, username: null, displayUsername: null }));
      await Bun.write(join(server.directory, "users"), ndjson(users));
      const before = performance.now();
      const flags = source === "firebase" ? " --hash-config hash-config" : "";
      expect(await importing(`users --from ${source}${flags}`)).toMatchObject({ imported: number, refused: 0 });
      const seconds = (performance.now() - before) / 1000;
      console.log(`importing: ${number} users of ${source} in ${seconds.toFixed(1)} s, start included`);
      const chance = seededChance(number);
      for (const at of [0, number - 1, chance.below(number)]) {
        const email = emailOf(source, at);
        const isCurrent = () =>
          besides(server, async (core) => isCurrentHash(core, (await findUser(core, email)).user));
        expect(await isCurrent()).toBeFalse();
        await signIn(server, { email, password: foreignPassword });
        expect(await isCurrent()).toBeTrue();
        await signIn(server, { email, password: foreignPassword });
        const wrong = await server.post("/api/v1/auth/login", { email, password: "another old password" });
        expect(wrong.status).toBe(401);
      }
    },
    patience,
  );

  test(
    "kill -9 in the midst leaves whole users, and the next run makes exactly the rest",
    async () => {
      const number = 10_000;
      const users = foreignUsers("authctl", number).map((one, at) => ({
        ...one,
        id: undefined,
        email: `survivor-${at}@example.com`,
        username: `survivor.${at}`,
      }));
      await Bun.write(join(server.directory, "survivors"), ndjson(users));
      const count = () => besides(server, (core) => core.store.userBatches.count({}));
      const before = await count();
      const child = start(server.env, ["user", "import", "survivors", "--from", "authctl"]);
      await until("some are there", async () => (await count()) > before, patience);
      child.kill("SIGKILL");
      await child.exited;
      const made = (await count()) - before;
      expect(made).toBeLessThan(number);
      expect(made % 500).toBe(0);
      expect(await importing("survivors --from authctl")).toMatchObject({
        already: made,
        imported: number - made,
        refused: 0,
      });
      expect(await importing("survivors --from authctl")).toMatchObject({ already: number, imported: 0, refused: 0 });
      expect((await count()) - before).toBe(number);
      await besides(server, async (core) => {
        for (let after: string | undefined; ; ) {
          const page = await core.store.userBatches.page({}, 1000, after);
          expect(page.filter(({ roles }) => !roles.includes("user"))).toEqual([]);
          after = page.at(-1)?.user.id;
          if (page.length < 1000) break;
        }
      });
    },
    patience,
  );
});

/**
 * The most memory of its own that a process has held by the time it ends: without the pages of the database file that
 * SQLite maps, which belong to the system.
 */
async function peakOf(child: { readonly pid: number; readonly exited: Promise<number> }): Promise<number> {
  let peak = 0;
  const look = setInterval(() => {
    const status = existsSync(`/proc/${child.pid}/status`) ? readFileSync(`/proc/${child.pid}/status`, "utf8") : "";
    peak = Math.max(peak, Number(/^RssAnon:\s+(\d+)/m.exec(status)?.[1] ?? 0) / 1024);
  }, 10);
  await child.exited;
  clearInterval(look);
  return peak;
}

describe("moving out", () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startServer();
  }, patience);
  afterAll(() => server?.end());

  test(
    "an export goes into an empty database of the other kind: the same users, who sign in there",
    async () => {
      await Bun.write(join(server.directory, "users"), ndjson(foreignUsers("better-auth", 300)));
      expect((await authctl(server.env, ["user", "import", "users"])).code).toBe(0);
      await signIn(server, { email: emailOf("better-auth", 7), password: foreignPassword });
      const exported = await authctl(server.env, ["user", "export", "--with-hashes"]);
      const postgres = dialect === "sqlite" ? await startPostgres() : undefined;
      const DATABASE_URL = postgres ? postgres.urlOf(await postgres.createDatabase()) : "sqlite:other.db";
      expect((await authctl({ ...server.env, DATABASE_URL }, ["migrate", "up"])).code).toBe(0);
      const elsewhere = await startServer({ DATABASE_URL });
      try {
        const imported = await authctl(elsewhere.env, ["user", "import", "-", "--json"], exported.stdout);
        expect(JSON.parse(imported.stdout)).toMatchObject({ source: "authctl", imported: 300, refused: 0 });
        const listed = async (env: TestServer["env"]) =>
          (JSON.parse((await authctl(env, ["user", "list", "--json"])).stdout) as WireUser[])
            .map((user) => ({ ...user, updated_at: null }))
            .toSorted((one, other) => (one.id < other.id ? -1 : 1));
        expect(await listed(elsewhere.env)).toEqual(await listed(server.env));
        for (const at of [0, 7, 299])
          await signIn(elsewhere, { email: emailOf("better-auth", at), password: foreignPassword });
      } finally {
        await elsewhere.end();
        await postgres?.end();
      }
    },
    patience,
  );

  test(
    `an export of ${exportedUsers} users takes no more memory than one of a few`,
    async () => {
      const memoryOf = async (): Promise<{ lines: number; megabytes: number }> => {
        const file = Bun.file(join(server.directory, "exported"));
        const child = start(server.env, ["user", "export", "--with-hashes"], file);
        const megabytes = await peakOf(child);
        expect(await child.exited).toBe(0);
        let lines = 0;
        for await (const chunk of file.stream()) for (const byte of chunk) if (byte === 10) lines++;
        return { lines, megabytes };
      };
      const few = await memoryOf();
      await besides(server, async (core) => {
        const now = core.clock.now();
        for (let made = 0; made < exportedUsers; made += 2000) {
          const batch = Array.from({ length: Math.min(2000, exportedUsers - made) }, (_, at) => {
            const id = core.random.id(now);
            const email = `many-${made + at}@example.com`;
            const passwordHash = sealHash(core, id, "$2b$05$abcdefghijklmnopqrstuuFiPhXf1sVd3pCCRO.uVh34H/qI/ZsuS");
            return {
              user: { id, email, emailKey: email, passwordHash, createdAt: now, updatedAt: now },
              roles: ["user"],
            };
          });
          await core.store.write((tx) => tx.userBatches.insert(batch, now));
        }
      });
      const before = performance.now();
      const many = await memoryOf();
      const seconds = ((performance.now() - before) / 1000).toFixed(1);
      console.log(
        `exporting: ${many.lines} users in ${seconds} s, ${Math.round(few.megabytes)} MiB for few, ${Math.round(many.megabytes)} MiB for all`,
      );
      expect(many.lines - few.lines).toBe(exportedUsers);
      expect(many.megabytes - few.megabytes).toBeLessThan(150);
    },
    patience,
  );
});
