/** What the settings say of each other, and no start is refused for. */
import type { Config } from "../../config.ts";
import type { Finding } from "./finding.ts";

const isHttps = ({ PUBLIC_URL }: Pick<Config, "PUBLIC_URL">): boolean => PUBLIC_URL.startsWith("https:");
const isLocal = ({ hostname }: URL): boolean => /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname);

/** Whether a browser stores our cookies, and sends them along. */
export function examineCookies(config: Config): Finding[] {
  const findings: Finding[] = [];
  const url = new URL(config.PUBLIC_URL);
  const { hostname } = url;
  if (config.COOKIE_SECURE && !isHttps(config) && !isLocal(url)) {
    findings.push({
      problem: `COOKIE_SECURE is on, and PUBLIC_URL is ${config.PUBLIC_URL}: no browser stores the cookies.`,
      remedy: "Set PUBLIC_URL to an https address.",
    });
  }
  if (!config.COOKIE_SECURE && isHttps(config)) {
    findings.push({
      problem: "COOKIE_SECURE is off: whoever listens on a network that a browser is led to by http reads the session.",
      remedy: "Set COOKIE_SECURE=on.",
    });
  }
  const domain = config.COOKIE_DOMAIN;
  if (domain !== undefined && hostname !== domain && !hostname.endsWith(`.${domain}`)) {
    findings.push({
      problem: `COOKIE_DOMAIN is ${domain}, and PUBLIC_URL is of ${hostname}: no browser stores the cookies.`,
      remedy: `Set COOKIE_DOMAIN to a domain that ${hostname} belongs to, or leave it out.`,
    });
  }
  const abroad = config.ALLOWED_ORIGINS.filter((origin) => isAbroad(new URL(origin).hostname, hostname));
  if (config.COOKIE_SAMESITE !== "none" && abroad.length > 0) {
    findings.push({
      problem: `ALLOWED_ORIGINS names ${abroad.join(" and ")}, which is another site than ${hostname}: with COOKIE_SAMESITE=${config.COOKIE_SAMESITE} no browser sends our cookies from there.`,
      remedy: "Serve the page from a host of the same site, let it use tokens, or set COOKIE_SAMESITE=none.",
    });
  }
  return findings;
}

/** A guess that errs on the side of silence: hosts that share no more than the last label. */
function isAbroad(one: string, other: string): boolean {
  const [left, right] = [one, other].map((host) => host.split(".").slice(-2).join("."));
  return left !== right;
}

/** A network that so large a part of the world is in, in leading bits, that nobody means it. */
const tooWide = { ipv4: 8, ipv6: 16 };

/** Whether the client's address can be known. */
export function examineProxy(config: Config): Finding[] {
  const findings: Finding[] = [];
  const wide = config.TRUSTED_PROXIES.filter(
    ({ address, prefix }) => prefix < (address.includes(":") ? tooWide.ipv6 : tooWide.ipv4),
  );
  for (const { address, prefix } of wide) {
    findings.push({
      problem: `TRUSTED_PROXIES holds ${address}/${prefix}: anybody can write the address that limits, bans and the audit trail go by.`,
      remedy: "Name the addresses of your proxies, and nothing else.",
    });
  }
  if (isHttps(config) && config.TRUSTED_PROXIES.length === 0) {
    findings.push({
      problem:
        "PUBLIC_URL is https, so a proxy stands before this server, and TRUSTED_PROXIES is empty: every user seems to come from the proxy, so that one who is limited limits all.",
      remedy: "Set TRUSTED_PROXIES to the address of the proxy as this server sees it.",
    });
  }
  if (!isHttps(config) && config.TRUSTED_PROXIES.length > 0 && !isLocal(new URL(config.PUBLIC_URL))) {
    findings.push({
      problem: `There are TRUSTED_PROXIES, and PUBLIC_URL is ${config.PUBLIC_URL}: tokens and links name an address without encryption.`,
      remedy: "Set PUBLIC_URL to the https address that the proxy serves.",
    });
  }
  return findings;
}
