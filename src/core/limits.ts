/** How much of something is let through: the limits by their names, and whose count something is added to. */
import { isIPv6 } from "node:net";
import type { Config, SettingName } from "../config.ts";

type Limit = {
  /** The setting that holds its quota. */
  readonly setting: SettingName & `RATE_LIMIT_${string}`;
};

/** Rates of requests, counted by the `Limiter`: a flood is what they are for, not a decision about security. */
export const rates = {
  /** Requests of one client address. */
  requests: { setting: "RATE_LIMIT_REQUESTS" },
  /** Sign-ups from one client address. */
  register: { setting: "RATE_LIMIT_REGISTER" },
  /** Refreshes from one client address. */
  refresh: { setting: "RATE_LIMIT_REFRESH" },
} as const satisfies Record<string, Limit>;

/** Tries that decide about security, reserved in the database (rule LI-0). */
export const tryLimits = {
  /** Passwords tried on one account. */
  sign_in_account: { setting: "RATE_LIMIT_SIGN_IN_ACCOUNT" },
  /** Passwords tried on one account by one known device or within one session: instead of the account's, which strangers may spend. */
  sign_in_device: { setting: "RATE_LIMIT_SIGN_IN_ACCOUNT" },
  /** Passwords tried from one client address. */
  sign_in_address: { setting: "RATE_LIMIT_SIGN_IN_ADDRESS" },
  /** Passwords tried on one account from one client address. */
  sign_in_pair: { setting: "RATE_LIMIT_SIGN_IN_PAIR" },
  /** Mails asked for one address of a person, by somebody who is not signed in. */
  mail_account: { setting: "RATE_LIMIT_MAIL_ACCOUNT" },
  /** Mails asked for from one client address. */
  mail_address: { setting: "RATE_LIMIT_MAIL_ADDRESS" },
} as const satisfies Record<string, Limit>;

export type RateName = keyof typeof rates;
export type TryName = keyof typeof tryLimits;
export const tryNames = Object.keys(tryLimits) as [TryName, ...TryName[]];
export type LimitName = RateName | TryName;

/** Every limit by its name. Another one is another row above, and the setting that it names. */
const limits = { ...rates, ...tryLimits } as const satisfies Record<LimitName, Limit>;

/** So many in so much time, in milliseconds. */
export type Quota = Config[(typeof limits)[LimitName]["setting"]];

export const quotaOf = (settings: Config, name: LimitName): Quota => settings[limits[name].setting];

/** What is left of a quota. */
export type Allowance = {
  readonly limit: LimitName;
  readonly quota: Quota;
  readonly remaining: number;
  /** When the quota is whole again, in seconds from now. */
  readonly resetsIn: number;
};

/** What came of taking one more. */
export type Taken = Allowance & { readonly allowed: boolean };

/**
 * The address as limits know it (rule LI-1): of IPv6 the /64, which one customer has to himself, so that its
 * countless addresses are one; an IPv4 address that is written as an IPv6 one is the IPv4 address.
 */
export function addressKey(ip: string): string {
  const plain = plainAddress(ip);
  if (!isIPv6(plain)) return plain;
  return `${groupsOf(plain)
    .slice(0, 4)
    .map((group) => group.toString(16))
    .join(":")}::/64`;
}

/** An IPv6 address that stands for an IPv4 one (RFC 4291, section 2.5.5.2) is that one. */
export function plainAddress(ip: string): string {
  const [bare = ""] = ip.split("%");
  if (!isIPv6(bare)) return ip;
  const groups = groupsOf(bare);
  const isMapped = groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff;
  return isMapped ? [groups[6]! >> 8, groups[6]! & 255, groups[7]! >> 8, groups[7]! & 255].join(".") : bare;
}

/** The eight groups of an IPv6 address in any of its spellings (RFC 4291, section 2.2). */
export function groupsOf(address: string): number[] {
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(address);
  const plain = dotted
    ? `${dotted[1]}${hex(Number(dotted[2]), Number(dotted[3]))}:${hex(Number(dotted[4]), Number(dotted[5]))}`
    : address;
  const [head = "", tail] = plain.split("::");
  const groups = (text: string): number[] =>
    text === "" ? [] : text.split(":").map((one) => Number.parseInt(one, 16));
  if (tail === undefined) return groups(head);
  const [before, after] = [groups(head), groups(tail)];
  return [...before, ...Array.from({ length: 8 - before.length - after.length }, () => 0), ...after];
}

const hex = (high: number, low: number): string => ((high << 8) | low).toString(16);
