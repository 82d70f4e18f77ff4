import pg from "pg";
import { parse, toClientConfig } from "pg-connection-string";
import type { Failures } from "./dialect.ts";
import { lacksTls, openingFailure } from "./postgres-errors.ts";

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
  // For a server that has gone silent: longer than what it is given to give up by itself.
  query_timeout: 12_000,
} as const;

const quoted = (identifier: string): string => `"${identifier.replaceAll('"', '""')}"`;

/**
 * What every connection begins with. `sslmode` means what libpq means by it; its `prefer`, which is what none
 * means too, is TLS without a proof of who answers.
 */
function connectionOf({ url, schema }: PostgresOptions): pg.ClientConfig {
  const config = toClientConfig(parse(url, { useLibpqCompat: true }));
  const path = `-c search_path=${quoted(schema)} -c timezone=UTC`;
  const isLocal = config.host?.startsWith("/");
  return {
    ...config,
    ...timeouts,
    keepAlive: true,
    application_name: "authctl",
    options: config.options ? `${config.options} ${path}` : path,
    // A socket of this machine has no TLS.
    ...(isLocal && { ssl: false }),
    ...(isOptional(url) && !isLocal && { ssl: { rejectUnauthorized: false } }),
  };
}

const sslModeOf = (url: string): string => /[?&]sslmode=([^&]*)/.exec(url)?.[1] ?? "prefer";
const isOptional = (url: string): boolean => ["prefer", "allow"].includes(sslModeOf(url));

/**
 * How to connect, found out by doing it once: with TLS where the server has it, which the driver alone cannot
 * prefer. What is wrong with the address or the server is told here, in words for the operator.
 */
export async function negotiated(options: PostgresOptions, failures: Failures): Promise<pg.ClientConfig> {
  const config = readAddress(options, failures);
  try {
    await tryOut(config);
    return config;
  } catch (error) {
    if (!isOptional(options.url) || !lacksTls(error)) throw openingFailure(error, config, failures);
  }
  const withoutTls = { ...config, ssl: false };
  await tryOut(withoutTls).catch((error: unknown) => {
    throw openingFailure(error, withoutTls, failures);
  });
  return withoutTls;
}

/** Reads the files of its certificates, too. */
function readAddress(options: PostgresOptions, failures: Failures): pg.ClientConfig {
  if (sslModeOf(options.url) === "verify-ca" && !options.url.includes("sslrootcert=")) {
    throw failures.misconfigured("needs sslrootcert=FILE with sslmode=verify-ca.");
  }
  try {
    return connectionOf(options);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? ` (${String(error.code)})` : "";
    throw failures.misconfigured(`names a certificate that cannot be read, or is no address at all${code}.`, error);
  }
}

async function tryOut(config: pg.ClientConfig): Promise<void> {
  const client = new pg.Client(config);
  client.on("error", () => {});
  try {
    await client.connect();
  } finally {
    await client.end().catch(() => {});
  }
}
