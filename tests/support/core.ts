import { systemRandom } from "../../src/adapters/system.ts";
import { type Actor, anonymous, type Client, operator } from "../../src/core/actors.ts";
import type { Core, Fields, Log } from "../../src/core/core.ts";
import { DomainError } from "../../src/core/errors.ts";
import { register } from "../../src/core/users/registration.ts";
import { type Member } from "../../src/core/users.ts";
import { openCore } from "../../src/open.ts";
import { createTestClock, type TestClock } from "./clock.ts";
import { freshDatabase } from "./database.ts";

export const goodPassword = "correct horse battery staple";

export const firefox: Client = {
  ip: "192.0.2.7",
  userAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:141.0) Gecko/20100101 Firefox/141.0",
  requestId: "test-request",
};
export const updatedFirefox: Client = { ...firefox, userAgent: firefox.userAgent!.replaceAll("141.0", "142.0") };
export const safari: Client = {
  ...firefox,
  userAgent:
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15",
};

export const visitor: Actor = anonymous(firefox);
export const root: Actor = operator("root@test");

export type Line = { readonly level: string; readonly event: string; readonly fields: Fields };

export type TestCore = Core & {
  readonly clock: TestClock;
  readonly lines: Line[];
  readonly directory: string;
  readonly env: Readonly<Record<string, string>>;
  /** The same database in another process, as it were: nothing is shared but what is stored. */
  again(env?: Record<string, string>): Promise<TestCore>;
};

/** Tests do in a second what nobody does in a quarter of an hour; those of the limits turn them on. */
const unlimited = { RATE_LIMITS: "off" };
const cheapHashing = { ARGON2_MEMORY_KIB: "8", ARGON2_TIME_COST: "1", HASH_CONCURRENCY: "2" };

/** A real core on a real database of its own, with a clock that stands until it is moved. */
export async function openTestCore(env: Record<string, string> = {}): Promise<TestCore> {
  const database = await freshDatabase();
  const core = await openOn({ ...database.env, ...cheapHashing, ...unlimited, ...env }, createTestClock());
  const { close } = core;
  return Object.assign(core, {
    close: async () => {
      await close();
      await database.drop();
    },
  });
}

async function openOn(env: Record<string, string>, clock: TestClock): Promise<TestCore> {
  const lines: Line[] = [];
  const write =
    (level: string) =>
    (event: string, fields: Fields = {}) =>
      void lines.push({ level, event, fields });
  const log: Log = { debug: write("debug"), info: write("info"), warn: write("warn"), error: write("error") };
  const directory = env["DATA_DIR"]!;
  const core = await openCore({ env, cwd: directory, purpose: "serve", clock, random: systemRandom, log });
  return Object.assign(core, {
    clock,
    lines,
    directory,
    env,
    again: (more = {}) => openOn({ ...env, ...more }, clock),
  });
}

export const registerAda = async (core: Core, email = "ada@example.com"): Promise<Member> =>
  await register(core, visitor, { email, password: goodPassword });

/** The code that a promise fails with; undefined where it does not fail. Anything but a `DomainError` is thrown on. */
export async function codeOf(work: Promise<unknown>): Promise<string | undefined> {
  try {
    await work;
    return undefined;
  } catch (error) {
    if (error instanceof DomainError) return error.code;
    throw error;
  }
}
