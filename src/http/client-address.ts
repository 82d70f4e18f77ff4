import { BlockList, isIP } from "node:net";
import type { Config } from "../config.ts";

const family = (address: string): "ipv4" | "ipv6" => (isIP(address) === 4 ? "ipv4" : "ipv6");

/** An address in one spelling: an IPv4 address that a socket for both shows as IPv6 is that IPv4 address. */
const plain = (address: string): string => address.replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i, "");

/** Whether an address is that of a proxy of ours, which is believed. */
export function trustedProxies({ TRUSTED_PROXIES }: Pick<Config, "TRUSTED_PROXIES">): (address: string) => boolean {
  const trusted = new BlockList();
  for (const { address, prefix } of TRUSTED_PROXIES) trusted.addSubnet(address, prefix, family(address));
  return (address) => trusted.check(plain(address), family(plain(address)));
}

/**
 * Where a request really comes from (rule LI-3): the connection's address, or, where that is a proxy of ours, the
 * first address from the right of what the proxies wrote down that is none of theirs. What stands further to the
 * left is what anybody may have sent.
 */
export function clientAddress({ TRUSTED_PROXIES, PROXY_HEADER }: Pick<Config, "TRUSTED_PROXIES" | "PROXY_HEADER">) {
  const isTrusted = trustedProxies({ TRUSTED_PROXIES });

  return (connection: string, headers: Headers): string => {
    let nearest = plain(connection);
    if (TRUSTED_PROXIES.length === 0) return nearest;
    const hops = (headers.get(PROXY_HEADER) ?? "").split(",").map(PROXY_HEADER === "forwarded" ? forwardedFor : bare);
    for (const hop of hops.toReversed()) {
      // Behind what is no address nobody can be known: the last one that is known has to answer for it.
      if (!isTrusted(nearest) || hop === undefined) return nearest;
      nearest = hop;
    }
    return nearest;
  };
}

/** `192.0.2.7`, `192.0.2.7:4711`, `[2001:db8::7]`, `[2001:db8::7]:4711`: the address in it. */
function bare(text: string): string | undefined {
  const [, bracketed, dotted] = /^\s*(?:\[([^\]]+)\](?::\d+)?|(\d+\.\d+\.\d+\.\d+):\d+)\s*$/.exec(text) ?? [];
  const address = plain(bracketed ?? dotted ?? text.trim());
  return isIP(address) ? address : undefined;
}

/** The `for` of one element of `Forwarded` (RFC 7239, section 4). */
function forwardedFor(element: string): string | undefined {
  const [, quoted, token] = /(?:^|;)\s*for=(?:"([^"]*)"|([^;,"\s]*))/i.exec(element) ?? [];
  return bare(quoted ?? token ?? "");
}
