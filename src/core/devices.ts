/**
 * What a `User-Agent` tells of the device behind it: for the list of sessions, and to notice that a session has
 * moved to another client. A hint, never a proof: whoever steals a credential can copy the header too.
 */
import * as bowser from "bowser";
import type { ClientKind } from "../store/tables.ts";

export type Device = {
  /** The browser's name, or the program's, without its version. */
  readonly browser: string | null;
  readonly os: string | null;
  readonly kind: ClientKind;
};

/** How much of a header is looked at, and how much of it a session remembers, in characters: real ones have about 120. */
const maxUserAgent = 512;
const maxRemembered = 500;

/** The kinds that the library tells apart, in the words of a session. */
const platforms = ["desktop", "mobile", "tablet", "tv", "bot"] as const;

const unknown: Device = { browser: null, os: null, kind: "unknown" };
/** The last devices described, the least recently seen first: every check of a session asks for one. */
const remembered = new Map<string, Device>();

/** Never throws. Equal texts have equal answers, and so have texts with the same first 512 characters. */
export function describeDevice(userAgent: string | null): Device {
  if (!userAgent) return unknown;
  // An oversized text is not remembered: a part of it would keep the whole in memory.
  if (userAgent.length > maxUserAgent) return parse(userAgent.slice(0, maxUserAgent));
  const device = remembered.get(userAgent) ?? parse(userAgent);
  remembered.delete(userAgent);
  remembered.set(userAgent, device);
  if (remembered.size > maxRemembered) {
    const [oldest] = remembered.keys();
    if (oldest !== undefined) remembered.delete(oldest);
  }
  return device;
}

/** Whether a person's browser sent this: they all call themselves Mozilla, and programs have no reason to. */
export const isBrowser = (userAgent: string | null): boolean =>
  userAgent !== null && /^(?:Mozilla|Opera)\//.test(userAgent);

/** Names of bowser's own; an unknown browser's "name" is a piece of the header, whatever that holds. */
const browserNames: ReadonlySet<string | undefined> = new Set(Object.values(bowser.BROWSER_MAP));
const osNames: ReadonlySet<string | undefined> = new Set(Object.values(bowser.OS_MAP));

function parse(userAgent: string): Device {
  let parsed: bowser.Parser.ParsedResult;
  try {
    parsed = bowser.parse(userAgent);
  } catch {
    return unknown;
  }
  const name = parsed.browser.name;
  const browser = name !== undefined && browserNames.has(name) ? name : null;
  const os = parsed.os.name !== undefined && osNames.has(parsed.os.name) ? parsed.os.name : null;
  // Crawlers that bowser does not know follow the custom of naming a page about themselves.
  if (parsed.platform.type === "bot" || /\+https?:\/\//.test(userAgent)) return { browser, os, kind: "bot" };
  // Browsers all claim to be Mozilla, or once Opera; the first product of a program is its own (RFC 9110, section 10.1.5).
  const product = /^[A-Za-z0-9][\w.+-]{0,63}(?=[/\s]|$)/.exec(userAgent)?.[0];
  if (product && product !== "Mozilla" && product !== "Opera") return { browser: product, os, kind: "program" };
  return { browser, os, kind: platforms.find((kind) => kind === parsed.platform.type) ?? "unknown" };
}

/** What a session remembers of its client. */
export function rememberedClient({ userAgent }: { readonly userAgent: string | null }): GivenTo {
  const { browser, os } = describeDevice(userAgent);
  return { userAgent: userAgent?.slice(0, maxUserAgent) ?? null, browser, os };
}

/** The client that a credential was given to, as its session remembers it. */
export type GivenTo = Pick<Device, "browser" | "os"> & { readonly userAgent: string | null };

/**
 * Whether the client that presents a credential now is the one that it was given to. `ua-family` compares browser
 * and system, so that an update signs nobody out; `ua-strict` compares the whole header.
 */
export function sameClient(binding: "ua-family" | "ua-strict", given: GivenTo, now: string | null): boolean {
  if (given.userAgent?.slice(0, maxUserAgent) === now?.slice(0, maxUserAgent)) return true;
  if (binding === "ua-strict") return false;
  const device = describeDevice(now);
  return device.browser === given.browser && device.os === given.os;
}
