import { randomBytes } from "node:crypto";
import { dialect } from "./database.ts";
import { type SeedName, settingsOf } from "./seeds.ts";
import { startServer, type TestServer } from "./server.ts";

/** A server with the settings that a document tells its readers to write down, on the database of this run. */
export async function startSeedServer(name: SeedName): Promise<TestServer> {
  const { DATABASE_URL, ...settings } = settingsOf(name);
  const SECRET_KEY = randomBytes(32).toString("base64url");
  const database = dialect === "sqlite" && DATABASE_URL !== undefined && { DATABASE_URL };
  return await startServer({ SECRET_KEY, ...settings, ...database, COMPAT_PATHS: "true" });
}
