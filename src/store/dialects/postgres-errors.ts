import type pg from "pg";
import type { Failures } from "./dialect.ts";

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
  /timeout exceeded when trying to connect|Connection terminated|connection error and is not queryable|timeout expired|Query read timeout|does not support SSL/;

function* causesOf(error: unknown): Generator<Error> {
  for (let one = error; one instanceof Error; one = one.cause) yield one;
}

/** drizzle wraps what the driver throws. */
function codeIn(error: unknown): string | undefined {
  for (const one of causesOf(error)) if ("code" in one && typeof one.code === "string") return one.code;
  return undefined;
}

/** Whether the server is silent: then nothing more comes through this connection. */
export const isSilence = (error: unknown): boolean =>
  causesOf(error).some(({ message }) => message.includes("Query read timeout"));

export const lacksTls = (error: unknown): boolean =>
  causesOf(error).some(({ message }) => message.includes("does not support SSL"));

/**
 * Not the query's fault: the server cannot be reached, goes down, is full, takes no writes, or was too slow
 * (PostgreSQL's appendix A: classes 08, 53, 57, 58, XX, 28, 3D, and single codes).
 */
export function causedByServer(error: unknown): boolean {
  const code = codeIn(error);
  if (code && (unreachable.has(code) || /^(08|53|57|58|XX|28|3D)/.test(code) || ["25006", "25P03"].includes(code)))
    return true;
  return causesOf(error).some(({ message }) => driverSays.test(message));
}

/** Somebody else has kept a lock for longer than is waited for one. */
export const isLocked = (error: unknown): boolean => codeIn(error) === "55P03";

/**
 * Another transaction was in the way: the same work, begun anew, finds what that one has done. A row that has
 * come since (23505) or has gone (23503) counts as one that was there, or was not, from the beginning.
 */
export const isConflict = (error: unknown): boolean =>
  ["40001", "40P01", "23505", "23503"].includes(codeIn(error) ?? "");

/**
 * Why the first connection failed, in words for the operator who wrote the address: what is to be corrected, and
 * where. Names the host, the user and the database, never the password, and never the driver's own words.
 */
export function openingFailure(error: unknown, config: pg.ClientConfig, failures: Failures): unknown {
  const user = config.user || "that this process runs as";
  const database = config.database || user;
  const host = config.host || "localhost";
  const server = `Postgres at ${host.startsWith("/") ? host : `${host}:${config.port ?? 5432}`}`;
  const refuse = (message: string) => failures.misconfigured(message, error);
  const code = codeIn(error) ?? "";
  const { message } = error instanceof Error ? error : { message: "" };

  if (code === "28P01") return refuse(`names the user ${user}, whose password ${server} refuses: correct it.`);
  if (/password must be a (non-empty )?string/.test(message)) {
    return refuse(`has no password for the user ${user}, and ${server} wants one: add it.`);
  }
  if (code.startsWith("28")) {
    return refuse(`names the user ${user}, whom ${server} does not let in (${code}): see its roles and pg_hba.conf.`);
  }
  if (code === "3D000") {
    return refuse(`names the database ${database}, which ${server} does not have: make it with \`createdb\`.`);
  }
  if (lacksTls(error)) {
    return refuse(`asks for TLS by its sslmode, and ${server} has none: switch it on there, or use sslmode=prefer.`);
  }
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") {
    return refuse(`wants ${server} verified, and its certificate is for another host name: correct the host.`);
  }
  if (/CERT|SIGNATURE|ISSUER/.test(code)) {
    return refuse(
      `wants ${server} verified, and its certificate is not trusted (${code}): name who signed it with sslrootcert=FILE.`,
    );
  }
  if (code === "57P03" || code.startsWith("53")) {
    return failures.unreachable(`${server} takes no connection now (${code}). Try again in a few seconds.`, error);
  }
  if (!causedByServer(error)) return error;
  const why = code === "" ? "it does not answer" : code;
  return failures.unreachable(`${server} cannot be reached (${why}). Start it, or correct the address.`, error);
}
