/** Networks whose requests are refused, whoever they come from: an operator's answer to an attack. */
import { BlockList, isIP, isIPv4 } from "node:net";
import type { Store } from "../store/store.ts";
import type { Ban } from "../store/tables.ts";
import type { Actor } from "./actors.ts";
import { record } from "./audit.ts";
import type { Clock, Core, Log } from "./core.ts";
import { fail } from "./errors.ts";
import { groupsOf, plainAddress } from "./limits.ts";

export type BanList = {
  /** Whether requests from this address are refused. A promise only where the list has to be read anew. */
  has(ip: string): boolean | Promise<boolean>;
  /** Reads the list anew, now. */
  read(): Promise<void>;
};

/** How old the list of a running server may be, in milliseconds. */
const maxAge = 5_000;

/** What a process knows of the bans: read every few seconds, and kept where the database does not answer. */
export function createBanList(
  bans: Pick<Store["bans"], "inForce">,
  { clock, log }: { clock: Clock; log: Log },
): BanList {
  /** None where nobody is banned, as it is with most: then there is nothing to look up. */
  let list: BlockList | undefined;
  let readAt = Number.NEGATIVE_INFINITY;
  let reading: Promise<void> | undefined;

  const read = async (): Promise<void> => {
    const now = clock.now();
    try {
      const inForce = await bans.inForce(now);
      list = inForce.length > 0 ? blockListOf(inForce) : undefined;
    } catch (error) {
      log.error("bans_not_read", {}, error);
    } finally {
      readAt = now.getTime();
      reading = undefined;
    }
  };
  const check = (ip: string): boolean => {
    if (!list) return false;
    const plain = plainAddress(ip);
    return isIP(plain) !== 0 && list.check(plain, isIPv4(plain) ? "ipv4" : "ipv6");
  };
  return {
    has(ip) {
      if (clock.now().getTime() - readAt < maxAge) return check(ip);
      reading ??= read();
      return reading.then(() => check(ip));
    },
    read,
  };
}

function blockListOf(bans: readonly Ban[]): BlockList {
  const list = new BlockList();
  for (const { network } of bans) {
    const [address = "", prefix] = network.split("/");
    list.addSubnet(address, Number(prefix), isIPv4(address) ? "ipv4" : "ipv6");
  }
  return list;
}

/**
 * A network in its one spelling, from an address or a network. A single IPv6 address is its /64, which one customer
 * has to himself (rule LI-1). `undefined` where the text is neither.
 */
export function parseNetwork(text: string): string | undefined {
  const [written = "", bits, ...more] = text.trim().split("/");
  const address = plainAddress(written);
  const family = isIP(address);
  if (family === 0 || address.includes("%") || more.length > 0) return undefined;
  const prefix = bits === undefined ? (family === 4 ? 32 : 64) : /^\d{1,3}$/.test(bits) ? Number(bits) : Number.NaN;
  if (!(prefix >= 1 && prefix <= (family === 4 ? 32 : 128))) return undefined;
  return `${family === 4 ? maskedIPv4(address, prefix) : maskedIPv6(address, prefix)}/${prefix}`;
}

function maskedIPv4(address: string, prefix: number): string {
  return masked(address.split(".").map(Number), 8, prefix).join(".");
}

/** As RFC 5952 spells it, which `URL` does. */
function maskedIPv6(address: string, prefix: number): string {
  const groups = masked(groupsOf(address), 16, prefix).map((group) => group.toString(16));
  return new URL(`http://[${groups.join(":")}]`).hostname.slice(1, -1);
}

/** Only the first `prefix` bits of numbers that have `width` bits each. */
function masked(numbers: readonly number[], width: number, prefix: number): number[] {
  return numbers.map((number, at) => {
    const kept = Math.min(width, Math.max(0, prefix - at * width));
    return number & ~(2 ** (width - kept) - 1);
  });
}

const networkOf = (text: string): string =>
  parseNetwork(text) ??
  fail("validation_failed", {
    errors: [{ path: "network", message: "must be an address or a network, such as 192.0.2.7 or 2001:db8::/48" }],
  });

/** What no server would hear of in time, in milliseconds. */
const shortestBan = maxAge;

/** Refuses requests of a network, at every server within five seconds. Again, it moves the end. */
export async function addBan(core: Core, by: Actor, text: string, lasting: number | undefined): Promise<Ban> {
  const network = networkOf(text);
  if (lasting !== undefined && lasting < shortestBan) {
    const message = "must be at least 5s, which is how long servers may take to hear of it";
    fail("validation_failed", { errors: [{ path: "for", message }] });
  }
  return await core.store.write(async (tx) => {
    const now = core.clock.now();
    const ban: Ban = {
      network,
      reason: by.kind === "operator" ? by.reason : null,
      createdAt: now,
      createdBy: "name" in by ? by.name : null,
      expiresAt: lasting === undefined ? null : new Date(now.getTime() + lasting),
    };
    await tx.bans.removeExpired(now);
    await tx.bans.put(ban);
    await record(core, tx, by, { action: "ban.added", particulars: { network } });
    return ban;
  });
}

/** Fails with `not_found` where the network is not banned. */
export async function liftBan(core: Core, by: Actor, text: string): Promise<void> {
  const network = networkOf(text);
  await core.store.write(async (tx) => {
    if (!(await tx.bans.remove(network))) {
      return fail("not_found", { detail: "This network is not banned; `authctl ban list` shows those that are." });
    }
    return await record(core, tx, by, { action: "ban.lifted", particulars: { network } });
  });
}

export const listBans = async (core: Core): Promise<Ban[]> => await core.store.bans.inForce(core.clock.now());
