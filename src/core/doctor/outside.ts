/** What users meet on the way to this server: looked at through the address that they have. */

import { BlockList, isIP } from "node:net";
import { decodeJwt } from "jose";
import type { Config } from "../../config.ts";
import type { CredentialKind } from "../../store/tables.ts";
import type { Actor } from "../actors.ts";
import type { Core } from "../core.ts";
import { formatAge } from "./ages.ts";
import { type Examined, type Finding, type OutsidePart, outsideParts } from "./finding.ts";
import { type Probe, withProbe } from "./probe.ts";
import { type Answer, NoAnswer, type Visitor } from "./visitor.ts";

/** An address that is nobody's (RFC 5737): whoever is told to come from there lies. */
export const forgedAddress = "203.0.113.77";

type Visit = {
  readonly url: URL;
  readonly settings: Config;
  readonly visitor: Visitor;
  /** The server's own database; none where it cannot be opened. */
  readonly core?: Core;
  readonly by: Actor;
  /** Whether a user may be made for a moment, to sign in with. */
  readonly signsIn: boolean;
};

type Told = ReadonlyArray<readonly [OutsidePart, Finding]>;

const skew = 5_000;

/** Goes through the address, and tells of each part what is wrong. What cannot be looked at is told as skipped. */
export async function examineOutside(visit: Visit): Promise<Examined<OutsidePart>[]> {
  const findings = new Map<OutsidePart, Finding[]>();
  const skipped = new Map<OutsidePart, string>();
  const add = (told: Told): void => {
    for (const [part, finding] of told) findings.set(part, [...(findings.get(part) ?? []), finding]);
  };
  const examined = () =>
    outsideParts.map((part) => {
      const why = skipped.get(part);
      return { part, findings: findings.get(part) ?? [], ...(why !== undefined && { skipped: why }) };
    });

  const first = await reach(visit);
  if ("finding" in first) {
    add([["reach", first.finding]]);
    for (const part of outsideParts.slice(1)) skipped.set(part, "Nothing answers as this server does.");
    return examined();
  }
  add([...examineHttps(visit), ...examineHeaders(visit, first.answer), ...examineTime(first)]);
  for (const examine of [examineJwks, examineDocs, examineOrigins, examineLinks]) add(await examine(visit));
  const { core } = visit;
  if (core && visit.signsIn) add(await examineSignIn({ ...visit, core }));
  else {
    const why = visit.signsIn ? "The database could not be opened." : "No user was to be made to sign in with.";
    for (const part of ["issuer", "cookies", "address"] as const) skipped.set(part, why);
  }
  return examined();
}

type Reached = { readonly answer: Answer; readonly askedAt: Date };

async function reach({ url, visitor }: Visit): Promise<Reached | { finding: Finding }> {
  try {
    // A first one for whatever is slow only once: what is measured is the second.
    const before = await visitor.ask("GET", "/livez");
    const answer = await visitor.ask("GET", "/");
    if (answer.status === 200 && answer.text.includes('"name":"authctl"')) return { answer, askedAt: before.at };
    return {
      finding: {
        problem: `${url.origin} answers ${answer.status}, and not as authctl does.`,
        remedy: "Have the proxy pass every path on to this server, or name the right address: --outside URL.",
      },
    };
  } catch (error) {
    if (!(error instanceof NoAnswer)) throw error;
    return {
      finding: {
        problem: `${url.origin} does not answer (${error.code}).`,
        remedy: "Check its name in DNS, its certificate, the proxy, and that the server runs.",
      },
    };
  }
}

const isLocal = ({ hostname }: URL): boolean => /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname);

function examineHttps({ url, settings }: Visit): Told {
  const told: Array<[OutsidePart, Finding]> = [];
  if (url.protocol !== "https:" && !isLocal(url)) {
    const problem = `${url.origin} is not encrypted: whoever is on the way reads passwords.`;
    told.push(["https", { problem, remedy: "Serve it by https, and set PUBLIC_URL to that address." }]);
  }
  if (url.origin !== settings.PUBLIC_URL) {
    const problem = `The server takes itself for ${settings.PUBLIC_URL}, and was visited at ${url.origin}.`;
    told.push(["issuer", { problem, remedy: "Set PUBLIC_URL to the address that users have." }]);
  }
  return told;
}

const wantedHeaders: ReadonlyArray<readonly [name: string, value: RegExp]> = [
  ["x-content-type-options", /^nosniff$/],
  ["content-security-policy", /frame-ancestors/],
  ["referrer-policy", /^no-referrer$/],
  ["x-request-id", /./],
];

function examineHeaders({ url }: Visit, { headers }: Answer): Told {
  const wanted: typeof wantedHeaders =
    url.protocol === "https:" ? [...wantedHeaders, ["strict-transport-security", /max-age=[1-9]/]] : wantedHeaders;
  return wanted
    .filter(([name, value]) => !value.test(headers.get(name) ?? ""))
    .map(([name]) => {
      const has = headers.has(name) ? "is another one than this server sends" : "does not arrive";
      const problem = `The header ${name} ${has}.`;
      return ["headers", { problem, remedy: "Have the proxy pass the headers of answers on as they are." }] as const;
    });
}

function examineTime({ answer, askedAt }: Reached): Told {
  const told = Date.parse(answer.headers.get("date") ?? "");
  if (Number.isNaN(told)) return [];
  // Whole seconds, and somewhere between the question and the answer.
  const off = told < askedAt.getTime() - 1000 ? told - askedAt.getTime() : Math.max(0, told - answer.at.getTime());
  if (Math.abs(off) <= skew) return [];
  const problem = `The clock there is ${formatAge(Math.abs(off))} ${off > 0 ? "ahead of" : "behind"} this one.`;
  return [["clock", { problem, remedy: "Have both machines set by NTP: `timedatectl set-ntp true`." }]];
}

async function examineJwks({ visitor, core }: Visit): Promise<Told> {
  const { status, headers, text } = await visitor.ask("GET", "/.well-known/jwks.json");
  const told: Array<[OutsidePart, Finding]> = [];
  const kids = status === 200 ? kidsOf(text) : undefined;
  if (!kids) {
    const problem = `/.well-known/jwks.json answers ${status}, and holds no keys: nobody can verify a token.`;
    return [["jwks", { problem, remedy: "Have the proxy pass /.well-known/ on." }]];
  }
  const cache = headers.get("cache-control") ?? "";
  if (!/max-age=[1-9]/.test(cache) || /no-store|private/.test(cache)) {
    const problem = "The published keys may not be cached: every verifier asks for them with every token.";
    told.push(["jwks", { problem, remedy: "Have the proxy leave Cache-Control as it is." }]);
  }
  const stored = (await core?.store.signingKeys.current())?.map(({ kid }) => kid);
  const missing = stored?.filter((kid) => !kids.includes(kid)) ?? [];
  if (missing.length > 0) {
    const problem = `The key ${missing.join(" and ")} of the database is not among those published there.`;
    const remedy =
      "See whether it is another server's address, or a proxy keeps an old answer for longer than max-age says.";
    told.push(["jwks", { problem, remedy }]);
  }
  return told;
}

function kidsOf(text: string): string[] | undefined {
  try {
    const { keys } = JSON.parse(text) as { readonly keys: ReadonlyArray<{ readonly kid: string }> };
    return keys.map(({ kid }) => kid);
  } catch {
    return undefined;
  }
}

async function examineDocs({ visitor }: Visit): Promise<Told> {
  const pages = [
    ["/docs", "text/html"],
    ["/openapi.json", "application/json"],
    ["/reset-password", "text/html"],
    ["/pages/script.js", "text/javascript"],
  ] as const;
  const told: Array<[OutsidePart, Finding]> = [];
  for (const [path, type] of pages) {
    const { status, headers } = await visitor.ask("GET", path);
    if (status === 200 && headers.get("content-type")?.startsWith(type)) continue;
    const problem = `${path} answers ${status} (${headers.get("content-type") ?? "without a type"}).`;
    told.push(["docs", { problem, remedy: `Have the proxy pass ${path} on to this server.` }]);
  }
  return told;
}

async function examineOrigins({ visitor, settings }: Visit): Promise<Told> {
  const told: Array<[OutsidePart, Finding]> = [];
  const preflight = async (origin: string): Promise<string | undefined> => {
    const headers = {
      origin,
      "access-control-request-method": "POST",
      "access-control-request-headers": "content-type",
    };
    return (await visitor.ask("OPTIONS", "/api/v1/auth/login", { headers })).headers.get("access-control-allow-origin");
  };
  for (const origin of settings.ALLOWED_ORIGINS) {
    if ((await preflight(origin)) === origin) continue;
    const problem = `Pages of ${origin} may not read the answers there, though ALLOWED_ORIGINS names them.`;
    told.push(["origins", { problem, remedy: "Have the proxy pass OPTIONS and the headers Access-Control-… on." }]);
  }
  const stranger = await preflight("https://stranger.invalid");
  if (stranger !== undefined) {
    const problem = `Pages of any origin may read the answers there (${stranger}).`;
    told.push(["origins", { problem, remedy: "Have the proxy add no Access-Control-Allow-Origin of its own." }]);
  }
  return told;
}

async function examineLinks({ url, visitor, settings }: Visit): Promise<Told> {
  const told: Array<[OutsidePart, Finding]> = [];
  const { VERIFY_EMAIL_PAGE, RESET_PASSWORD_PAGE, CHANGE_PASSWORD_PAGE } = settings;
  for (const [name, page] of Object.entries({ VERIFY_EMAIL_PAGE, RESET_PASSWORD_PAGE, CHANGE_PASSWORD_PAGE })) {
    if (url.protocol !== "https:" || page.startsWith("https:")) continue;
    const problem = `${name} is ${page}: a link with a one-time token leads to a page without encryption.`;
    told.push([
      "links",
      { problem, remedy: `Set ${name} to an https address, or PUBLIC_URL where it follows from that.` },
    ]);
  }
  const location = (await visitor.ask("GET", "/.well-known/change-password")).headers.get("location");
  if (location !== CHANGE_PASSWORD_PAGE) {
    const problem = `/.well-known/change-password leads to ${location ?? "nowhere"}, and not to ${CHANGE_PASSWORD_PAGE}.`;
    told.push(["links", { problem, remedy: "Have the proxy leave Location as it is." }]);
  }
  return told;
}

/** A user who is made for it signs in as a browser does. */
async function examineSignIn(visit: Visit & { readonly core: Core }): Promise<Told> {
  const { core, by } = visit;
  return await withProbe(core, by, async (probe) => {
    const told = [...(await signInWith(visit, probe, "tokens")), ...(await signInWith(visit, probe, "session"))];
    const [session] = await core.store.sessions.ofUser(probe.id, core.clock.now());
    return [...told, ...(await examineAddress(visit, session?.ip ?? null))];
  });
}

async function signInWith(visit: Visit, { email, password }: Probe, credential: CredentialKind): Promise<Told> {
  const { visitor, url } = visit;
  const told = (problem: string, remedy: string): Told => [["cookies", { problem, remedy }]];
  const path = "/api/v1/auth/login";
  const answer = await visitor.ask("POST", path, {
    headers: { origin: url.origin, "sec-fetch-site": "same-origin" },
    body: { email, password, credential, delivery: "cookie" },
  });
  if (answer.status !== 200) {
    return told(
      `Signing in there with a cookie answers ${answer.status} (${codeOf(answer)}).`,
      "Have the proxy pass POST, its body and the header Origin on as they are.",
    );
  }
  const refused = await visitor.keep(path, answer.setCookies);
  if (answer.setCookies.length === 0 || refused.length > 0) {
    const which =
      refused.length === 0 ? "No cookie arrives" : `A browser does not keep the cookie ${refused.join(" and ")}`;
    return told(
      `${which}: nobody stays signed in.`,
      "Have the proxy leave Set-Cookie as it is, and set PUBLIC_URL, COOKIE_DOMAIN and COOKIE_SECURE for this address.",
    );
  }
  const issuer = credential === "tokens" ? await examineIssuer(visit) : [];
  const me = await visitor.ask("GET", "/api/v1/users/me");
  if (me.status === 200) return issuer;
  const problem = `With the cookie of a sign-in, /api/v1/users/me answers ${me.status} (${codeOf(me)}).`;
  return [...issuer, ...told(problem, "Have the proxy pass the header Cookie on as it is.")];
}

const codeOf = ({ text }: Answer): string => /"code":"(\w{1,60})"/.exec(text)?.[1] ?? "not in our words";

function issuerOf(token: string | undefined): string | undefined {
  try {
    return token && decodeJwt(token).iss;
  } catch {
    return undefined;
  }
}

async function examineIssuer({ visitor, settings }: Visit): Promise<Told> {
  const token = await visitor.cookie("/", settings.COOKIE_ACCESS_NAME);
  const issuer = issuerOf(token);
  if (issuer === settings.PUBLIC_URL) return [];
  const problem = `Tokens are issued there by ${issuer ?? "nobody"}, and PUBLIC_URL is ${settings.PUBLIC_URL} here.`;
  const remedy = "Give the server that runs there and this command the same settings, then restart it.";
  return [["issuer", { problem, remedy }]];
}

const privateNetworks = new BlockList();
for (const [network, prefix] of [
  ["10.0.0.0", 8],
  ["172.16.0.0", 12],
  ["192.168.0.0", 16],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["100.64.0.0", 10],
] as const) {
  privateNetworks.addSubnet(network, prefix, "ipv4");
}
for (const [network, prefix] of [
  ["fc00::", 7],
  ["fe80::", 10],
  ["::1", 128],
] as const) {
  privateNetworks.addSubnet(network, prefix, "ipv6");
}
const isPrivate = (address: string): boolean => privateNetworks.check(address, isIP(address) === 4 ? "ipv4" : "ipv6");

/** @param seen the address that the server has taken this client's for */
async function examineAddress({ visitor }: Visit, seen: string | null): Promise<Told> {
  const told = (problem: string, remedy: string): Told => [["address", { problem, remedy }]];
  if (seen === forgedAddress) {
    return told(
      "The server believes an X-Forwarded-For that anybody may write: limits and bans keep nobody out.",
      "Set TRUSTED_PROXIES to your proxies alone, and have the outermost one replace the header.",
    );
  }
  const ends = await visitor.ends();
  if (seen === null || !ends) return [];
  const isNear = isPrivate(ends.other);
  // Through a translated address nobody here knows what the server should have seen.
  const isWrong = isNear && isPrivate(ends.own) ? seen !== ends.own : isPrivate(seen) && !isNear;
  if (!isWrong) return [];
  return told(
    `The server saw this client as ${seen}${isNear ? `, and it is ${ends.own}` : ", which is an address of its own network"}: that of a proxy.`,
    `Add ${seen} to TRUSTED_PROXIES, and have the proxy write the client's address into the header of PROXY_HEADER.`,
  );
}
