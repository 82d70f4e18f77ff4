/**
 * Better Auth behind the thinnest server, in a process of its own: `better-auth.ts DIRECTORY`, which holds its package.
 * FILL in the environment makes users with a session each instead, and prints their cookies.
 */
import { Database } from "bun:sqlite";
import { createHmac } from "node:crypto";

export type BetterAuthPlan = {
  readonly users: number;
  readonly spare: number;
  readonly password: string;
};

/** As much of it as is used here. */
type Options = Readonly<Record<string, unknown>>;
type BetterAuth = {
  handler(request: Request): Promise<Response>;
  readonly $context: Promise<{
    readonly password: { hash(password: string): Promise<string> };
    readonly internalAdapter: {
      createUser(user: object): Promise<{ id: string }>;
      linkAccount(account: object): Promise<unknown>;
      createSession(userId: string): Promise<{ token: string }>;
    };
  }>;
};
type Pool = new (options: object) => object;

const secret = "a secret of the bench, of more than 32 characters";

if (import.meta.main) {
  const [, , directory = "."] = process.argv;
  const { PORT, FILE = "", POSTGRES, UPDATE_AGE, FILL } = process.env;
  const load = async <T>(name: string): Promise<T> => (await import(Bun.resolveSync(name, directory))) as T;

  const database = POSTGRES
    ? new (await load<{ Pool: Pool }>("pg")).Pool({ connectionString: POSTGRES, max: 10 })
    : new Database(FILE, { create: true });
  if (database instanceof Database) {
    for (const pragma of ["journal_mode = WAL", "synchronous = FULL", "busy_timeout = 5000"]) {
      database.run(`PRAGMA ${pragma}`);
    }
  }
  const options: Options = {
    baseURL: `http://localhost:${PORT}`,
    secret,
    database,
    emailAndPassword: { enabled: true },
    rateLimit: { enabled: false },
    telemetry: { enabled: false },
    logger: { disabled: true },
    session: UPDATE_AGE === undefined ? {} : { updateAge: Number(UPDATE_AGE) },
  };
  const { betterAuth } = await load<{ betterAuth: (options: Options) => BetterAuth }>("better-auth");
  const auth = betterAuth(options);
  if (FILL) {
    const migration = await load<{ getMigrations: (options: Options) => Promise<{ runMigrations(): Promise<void> }> }>(
      "better-auth/db/migration",
    );
    await (await migration.getMigrations(options)).runMigrations();
    console.log(JSON.stringify(await fill(auth, JSON.parse(FILL) as BetterAuthPlan)));
    process.exit(0);
  }
  Bun.serve({ port: Number(PORT), hostname: "127.0.0.1", fetch: (request) => auth.handler(request) });
}

async function fill(auth: BetterAuth, plan: BetterAuthPlan): Promise<Array<{ email: string; token: string }>> {
  const context = await auth.$context;
  const password = await context.password.hash(plan.password);
  const made = [];
  for (let at = 0; at < plan.users + plan.spare; at++) {
    const email = `bench-${at}@example.com`;
    const { id } = await context.internalAdapter.createUser({ email, name: `Bench ${at}`, emailVerified: true });
    await context.internalAdapter.linkAccount({ userId: id, accountId: id, providerId: "credential", password });
    const { token } = await context.internalAdapter.createSession(id);
    const signature = createHmac("sha256", secret).update(token).digest("base64");
    made.push({ email, token: encodeURIComponent(`${token}.${signature}`) });
  }
  return made;
}
