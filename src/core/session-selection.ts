/** Which sessions an operator means: of a user, from a network, older than so much. */
import { BlockList, isIP, isIPv4 } from "node:net";
import type { SessionFilter, Standing } from "../store/sessions.ts";
import type { Session } from "../store/tables.ts";
import { parseNetwork } from "./bans.ts";
import type { Core } from "./core.ts";
import { fail } from "./errors.ts";
import { plainAddress } from "./limits.ts";
import { countSessions, pagesOfSessions } from "./sessions.ts";

export type Selection = Omit<SessionFilter, "ips"> & {
  /** The address that a session was last used from, or the network of it: `192.0.2.7`, `2001:db8::/48`. */
  readonly from?: string;
};

/** How much is selected: to be told before it is done. */
export type Extent = { readonly sessions: number; readonly users: number };

type Owned = { readonly session: Session; readonly user: Standing["user"] };

/** A page at a time, in the order of their making. Fails with `validation_failed` where `from` is no network. */
export async function* pagesOfSelected(core: Core, { from, ...filter }: Selection): AsyncGenerator<readonly Owned[]> {
  const place = placeOf(from);
  for await (const page of pagesOfSessions(core, { ...filter, ...(place.ips && { ips: place.ips }) })) {
    const fitting = page.filter(({ session }) => place.holds(session.ip));
    if (fitting.length > 0) yield fitting;
  }
}

/** Of a network every session has to be looked at, as a database knows of networks or does not. */
export async function countSelected(core: Core, selection: Selection): Promise<Extent> {
  const { from, ...filter } = selection;
  const place = placeOf(from);
  if (place.isExact) return await countSessions(core, { ...filter, ...(place.ips && { ips: place.ips }) });
  const users = new Set<string>();
  let sessions = 0;
  for await (const page of pagesOfSelected(core, selection)) {
    sessions += page.length;
    for (const { session } of page) users.add(session.userId);
  }
  return { sessions, users: users.size };
}

type Place = {
  /** The spellings of one address, for the database to look for. */
  readonly ips?: readonly string[];
  /** Whether those alone say all. */
  readonly isExact: boolean;
  holds(ip: string | null): boolean;
};

function placeOf(from: string | undefined): Place {
  if (from === undefined) return { isExact: true, holds: () => true };
  const written = from.trim();
  const address = plainAddress(written);
  const family = isIP(address);
  if (family !== 0 && !written.includes("%")) {
    // As servers write it down that listen for both families.
    const spellings = family === 4 ? [address, `::ffff:${address}`] : [canonicalIPv6(address)];
    return { ips: [...new Set([written, ...spellings])], isExact: true, holds: () => true };
  }
  // A zone is of one machine: no session comes from there.
  const network = written.includes("%") ? undefined : parseNetwork(written);
  if (!network) {
    return fail("validation_failed", {
      errors: [{ path: "ip", message: "must be an address or a network, such as 192.0.2.7 or 2001:db8::/48" }],
    });
  }
  const [start = "", prefix] = network.split("/");
  const list = new BlockList();
  list.addSubnet(start, Number(prefix), isIPv4(start) ? "ipv4" : "ipv6");
  const holds = (ip: string | null): boolean => {
    const plain = plainAddress(ip ?? "");
    return isIP(plain) !== 0 && list.check(plain, isIPv4(plain) ? "ipv4" : "ipv6");
  };
  return { isExact: false, holds };
}

/** As RFC 5952 spells it, which `URL` does. */
const canonicalIPv6 = (address: string): string => new URL(`http://[${address}]`).hostname.slice(1, -1);
