import { type Parser, unfit } from "./parsers.ts";

export type RedisNode = { readonly host: string; readonly port: number };

/** Where Redis is, and how it is reached. */
export type RedisTarget = {
  readonly kind: "single" | "sentinel" | "cluster";
  /** The servers to ask first; of a single Redis there is one. */
  readonly nodes: readonly [RedisNode, ...RedisNode[]];
  readonly tls: boolean;
  readonly username: string | undefined;
  readonly password: string | undefined;
  /** The name by which the sentinels know the master. */
  readonly master: string | undefined;
  readonly db: number;
};

const forms = {
  single: "a Redis address, such as redis://:password@host:6379/0, or rediss:// for TLS",
  sentinel:
    "the addresses of sentinels and the name of their master, such as redis+sentinel://:password@host:26379,host:26379/master/0",
  cluster: "the addresses of nodes of a cluster, such as redis+cluster://host:6379,host:6379",
} as const satisfies Record<RedisTarget["kind"], string>;

/** URL knows no list of hosts, so the text is taken apart by hand. What is reserved in a password is percent-encoded. */
export const redisUrl: Parser<RedisTarget> = (value) => {
  const [, scheme = "", kinds, user, hosts = "", path = ""] =
    /^(rediss?)(?:\+(sentinel|cluster))?:\/\/(?:([^@/]*)@)?([^@/?#]+)(?:\/([^?#]*))?$/i.exec(value) ?? [];
  const kind = (kinds?.toLowerCase() ?? "single") as RedisTarget["kind"];
  const [first, ...rest] = hosts.split(",").map((one) => nodeOf(one, kind === "sentinel" ? 26_379 : 6379));
  const [username, password] = (user ?? "").split(/:(.*)/s).map(decoded);
  const [master, db] = placeOf(kind, path);
  const nodes = [first, ...rest].filter((one) => one !== undefined);
  const fits = scheme !== "" && nodes.length === rest.length + 1 && (kind !== "single" || rest.length === 0);
  if (!fits || !first || db === undefined || username === null || password === null) return unfit(forms[kind]);
  if (kind === "sentinel" && !master) return unfit(forms.sentinel);
  return {
    kind,
    nodes: [first, ...nodes.slice(1)],
    tls: scheme.toLowerCase() === "rediss",
    username: username || undefined,
    password: password || undefined,
    master: master || undefined,
    db,
  };
};

function nodeOf(text: string, port: number): RedisNode | undefined {
  const [, bracketed, name, digits] = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::(\d{1,5}))?$/i.exec(text) ?? [];
  const host = bracketed ?? name;
  const given = digits === undefined ? port : Number(digits);
  return host !== undefined && given >= 1 && given <= 65_535 ? { host, port: given } : undefined;
}

/** `/db`, `/master/db` or nothing. A cluster has no databases. `undefined` instead of a number where it is none. */
function placeOf(kind: RedisTarget["kind"], path: string): [master: string | undefined, db: number | undefined] {
  const parts = path === "" ? [] : path.split("/");
  const master = kind === "sentinel" ? parts.shift() : undefined;
  const [db = "0", ...more] = parts;
  const fits = /^\d{1,4}$/.test(db) && more.length === 0 && (kind !== "cluster" || Number(db) === 0);
  return [master, fits ? Number(db) : undefined];
}

/** Null where the percent-encoding is none. */
function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}

/** The address without its password, for people. */
export function shownRedisUrl({ kind, nodes, tls, username, password, master, db }: RedisTarget): string {
  const scheme = `redis${tls ? "s" : ""}${kind === "single" ? "" : `+${kind}`}`;
  const user = password === undefined ? (username ?? "") : `${username ?? ""}:***`;
  const hosts = nodes.map(({ host, port }) => `${host.includes(":") ? `[${host}]` : host}:${port}`).join(",");
  const path = [master, kind === "cluster" ? undefined : db].filter((one) => one !== undefined).join("/");
  return `${scheme}://${user === "" ? "" : `${user}@`}${hosts}${path === "" ? "" : `/${path}`}`;
}
