import pg from "pg";
import { parse, toClientConfig } from "pg-connection-string";

export type PostgresOptions = {
  readonly url: string;
  /** The schema that everything is in. Made by the first migration. */
  readonly schema: string;
  readonly maxConnections: number;
};

/** Milliseconds. What takes longer is given up, so that no request and no other transaction waits for it without end. */
const timeouts = {
  connectionTimeoutMillis: 5_000,
  statement_timeout: 10_000,
  lock_timeout: 5_000,
  idle_in_transaction_session_timeout: 10_000,
} as const;

const quoted = (identifier: string): string => `"${identifier.replaceAll('"', '""')}"`;

const sslModeOf = (url: string): string => /[?&]sslmode=([^&]*)/.exec(url)?.[1] ?? "prefer";

/**
 * What every connection begins with. `sslmode` means what libpq means by it; its `prefer`, which is what none
 * means too, is TLS without a proof of who answers.
 */
function connectionOf({ url, schema }: PostgresOptions): pg.ClientConfig {
  const config = toClientConfig(parse(url, { useLibpqCompat: true }));
  const path = `-c search_path=${quoted(schema)} -c timezone=UTC`;
  return {
    ...config,
    ...timeouts,
    application_name: "authctl",
    options: config.options ? `${config.options} ${path}` : path,
    // A socket of this machine has no TLS.
    ...(config.host?.startsWith("/") && { ssl: false }),
    ...(isOptional(url) && !config.host?.startsWith("/") && { ssl: { rejectUnauthorized: false } }),
  };
}

const isOptional = (url: string): boolean => ["prefer", "allow"].includes(sslModeOf(url));

/** The connection, with TLS where the server has it: where `sslmode` only prefers that, the driver would fail. */
export async function negotiated(options: PostgresOptions): Promise<pg.ClientConfig> {
  const config = connectionOf(options);
  if (!isOptional(options.url) || config.ssl === false) return config;
  const client = new pg.Client(config);
  client.on("error", () => {});
  try {
    await client.connect();
    return config;
  } catch (error) {
    const without = error instanceof Error && error.message === "The server does not support SSL connections";
    if (without) return { ...config, ssl: false };
    throw error;
  } finally {
    await client.end().catch(() => {});
  }
}

const unreachable = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "EPIPE",
  "ETIMEDOUT",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOENT",
]);

/** What the driver says without a code. */
const driverSays =
  /timeout exceeded when trying to connect|Connection terminated|connection error and is not queryable|timeout expired|does not support SSL/;

/** drizzle wraps what the driver throws. */
export function codeIn(error: unknown): string | undefined {
  for (let one = error; one instanceof Error; one = one.cause) {
    if ("code" in one && typeof one.code === "string") return one.code;
  }
  return undefined;
}

/**
 * Not the query's fault: the server cannot be reached, goes down, is full, takes no writes, or was too slow
 * (PostgreSQL's appendix A: classes 08, 53, 57, 58, XX, 28, 3D, and single codes).
 */
export function causedByServer(error: unknown): boolean {
  const code = codeIn(error);
  if (
    code &&
    (unreachable.has(code) || /^(08|53|57|58|XX|28|3D)/.test(code) || ["25006", "25P03", "55P03"].includes(code))
  )
    return true;
  for (let one = error; one instanceof Error; one = one.cause) if (driverSays.test(one.message)) return true;
  return false;
}

/**
 * Another transaction was in the way: the same work, begun anew, finds what that one has done. A row that has
 * come since (23505) or has gone (23503) counts as one that was there, or was not, from the beginning.
 */
export const isConflict = (error: unknown): boolean =>
  ["40001", "40P01", "23505", "23503"].includes(codeIn(error) ?? "");
