import { sign, verify } from "node:crypto";
import { promisify } from "node:util";
import { decodeJwt, decodeProtectedHeader, errors as jose } from "jose";
import type { Session, SigningAlgorithm } from "../store/tables.ts";
import type { Core } from "./core.ts";
import { sha256 } from "./secrets.ts";
import { clockSkew, currentKeys, type Keys, keysAtHand, keysWith, type NamedKey, signingKey } from "./signing-keys.ts";

/** The client of those who sign in here directly, not through OAuth (RFC 9068, section 2.2). */
export const firstPartyClient = "first-party";

/** A longer text is no token of ours, and is not even decoded. */
const longestToken = 8 * 1024;

export type AccessClaims = {
  readonly userId: string;
  readonly sessionId: string;
  /** Both in seconds, as the token has them: ten thousand of these are kept. */
  readonly notBefore: number;
  readonly expiresAt: number;
};

export type Grants = { readonly roles: readonly string[]; readonly permissions: readonly string[] };

/**
 * A signed access token (RFC 9068) of a session. Up to 5 % of its life are taken off at random, so that the
 * tabs of a browser do not all refresh in the same second; it never outlives the session.
 */
export async function issueAccessToken(core: Core, session: Session, grants: Grants) {
  const signing = await signingKey(core);
  const now = core.clock.now();
  const issuedAt = Math.floor(now.getTime() / 1000);
  const [chance = 0] = core.random.bytes(1);
  const life = Math.floor((core.settings.ACCESS_TOKEN_TTL / 1000) * (1 - 0.05 * (chance / 255)));
  const expiresAt = Math.min(issuedAt + life, Math.floor(session.expiresAt.getTime() / 1000));
  const token = await signed(signing, {
    sid: session.id,
    client_id: firstPartyClient,
    roles: grants.roles,
    scope: grants.permissions.join(" "),
    iss: core.settings.PUBLIC_URL,
    aud: core.settings.TOKEN_AUDIENCE,
    sub: session.userId,
    iat: issuedAt,
    nbf: issuedAt,
    exp: expiresAt,
    jti: core.random.id(now),
  });
  const { verifying } = await currentKeys(core);
  // What was signed here needs no proof here. The key may have gone meanwhile, where it had leaked.
  if (verifying.has(signing.kid)) {
    const claims = { userId: session.userId, sessionId: session.id, notBefore: issuedAt, expiresAt };
    remember(rememberedBy(verifying), sha256(token), claims);
  }
  return { token, expiresIn: expiresAt - issuedAt };
}

const signAside = promisify(sign);
const encoded = (part: object): string => Buffer.from(JSON.stringify(part)).toString("base64url");

/** A JWT in its compact form (RFC 7515, section 7.1). */
async function signed({ kid, algorithm, key }: NamedKey, claims: object): Promise<string> {
  const text = `${encoded({ alg: algorithm, kid, typ: "at+jwt" })}.${encoded(claims)}`;
  const what = [hashes[algorithm], Buffer.from(text), { key, dsaEncoding }] as const;
  // What takes 20 µs is not worth the way to another thread. RS256 takes thirty times as long, for which nobody else is to wait.
  const signature = algorithm === "RS256" ? await signAside(...what) : sign(...what);
  return `${text}.${signature.toString("base64url")}`;
}

/** Header members that would let a token choose its own key (RFC 8725, section 3.10), or ask for what we do not know. */
const foreignMembers = ["jwk", "jku", "x5u", "x5c", "crit", "b64"] as const;

/**
 * Tokens that a set of keys has verified or signed here, by their hash. The signature is what costs, and a token stays what it
 * is; with other keys everything is verified anew. What has to be asked each time is the clock, and the session.
 */
const verifiedBy = new WeakMap<Keys["verifying"], Map<string, AccessClaims>>();
const mostRemembered = 10_000;

function rememberedBy(verifying: Keys["verifying"]): Map<string, AccessClaims> {
  const remembered = verifiedBy.get(verifying) ?? new Map<string, AccessClaims>();
  verifiedBy.set(verifying, remembered);
  return remembered;
}

function remember(remembered: Map<string, AccessClaims>, hash: string, claims: AccessClaims): void {
  remembered.set(hash, claims);
  const [oldest] = remembered.keys();
  if (remembered.size > mostRemembered && oldest !== undefined) remembered.delete(oldest);
}

/**
 * What a token says, once its signature, algorithm, type, issuer, audience and time are right; else
 * `undefined`, never a throw for whatever was sent. That its session lives is for the caller to ask.
 * @param options.expired takes a token whose time is over as well: for signing out, which grants nothing
 */
export async function verifyAccessToken(
  core: Core,
  token: string,
  options = { expired: false },
): Promise<AccessClaims | undefined> {
  // Before the keys are read, so that nonsense asks the database for nothing.
  if (!isTokenLike(token)) return undefined;
  const claims =
    claimsBy(core, await currentKeys(core), token) ?? claimsBy(core, await keysWith(core, kidOf(token)), token);
  return claims === undefined || claims === "forged" ? undefined : inTime(core.clock.now(), claims, options);
}

/** The same at once, where the keys need not be read again. `forged` where other keys would change nothing. */
export function claimsAtHand(core: Core, token: string, now: Date): AccessClaims | "forged" | undefined {
  const keys = keysAtHand(core, now);
  const claims = keys && claimsBy(core, keys, token);
  return claims === undefined || claims === "forged" ? claims : inTime(now, claims, { expired: false });
}

/** One spelling of each part: in its last letter base64url leaves bits over that a decoder would ignore. */
const part = "(?:[\\w-]{4})*(?:[\\w-]{4}|[\\w-]{2}[AEIMQUYcgkosw048]|[\\w-][AQgw])";
const threeParts = new RegExp(`^${part}\\.${part}\\.${part}$`);
const isTokenLike = (token: string): boolean => token.length <= longestToken && threeParts.test(token);

/** Our own expiry has no leeway; what another machine's clock wrote into `nbf` has. */
function inTime(now: Date, claims: AccessClaims, options: { expired: boolean }): AccessClaims | undefined {
  const begun = claims.notBefore * 1000 <= now.getTime() + clockSkew;
  return begun && (options.expired || claims.expiresAt * 1000 > now.getTime()) ? claims : undefined;
}

/** What a token says at any time, verified once. `undefined` where none of the keys is its own. */
function claimsBy(core: Core, { verifying }: Keys, token: string): AccessClaims | "forged" | undefined {
  const hash = sha256(token);
  const known = verifiedBy.get(verifying)?.get(hash);
  if (known) return known;
  const header = isTokenLike(token) ? headerOf(token) : undefined;
  if (!header) return "forged";
  const key = verifying.get(header.kid);
  if (!key) return undefined;
  const claims = isSigned(key, header, token) ? claimsIn(core, token) : undefined;
  if (claims) remember(rememberedBy(verifying), hash, claims);
  return claims ?? "forged";
}

type Header = { readonly kid: string; readonly alg: unknown };

/** The header of what may be a token of ours (RFC 9068, section 4). Its type has two forms (RFC 7515, section 4.1.9). */
function headerOf(token: string): Header | undefined {
  const header = unlessMalformed(() => decodeProtectedHeader(token));
  if (!header || foreignMembers.some((name) => name in header)) return undefined;
  const { alg, kid, typ } = header;
  const isAccessToken = isText(typ) && /^(?:application\/)?at\+jwt$/i.test(typ);
  return isAccessToken && isText(kid) ? { alg, kid } : undefined;
}

const kidOf = (token: string): string => headerOf(token)?.kid ?? "";

/** What is signed: a hash (RFC 7518, section 3.1), or the text itself (RFC 8037, section 3.1). */
const hashes: Readonly<Record<SigningAlgorithm, string | null>> = { ES256: "sha256", EdDSA: null, RS256: "sha256" };

/** The two numbers of ES256 as they are, not as DER (RFC 7518, section 3.4). */
const dsaEncoding = "ieee-p1363";

/** By the key of the token's `kid`, for its own algorithm alone: the header chooses neither (RFC 8725, section 3.1). */
function isSigned({ algorithm, key }: NamedKey, { alg }: Header, token: string): boolean {
  if (alg !== algorithm) return false;
  const end = token.lastIndexOf(".");
  const [text, signature] = [Buffer.from(token.slice(0, end)), Buffer.from(token.slice(end + 1), "base64url")];
  return verify(hashes[algorithm], text, { key, dsaEncoding }, signature);
}

/** The claims of RFC 9068, section 2.2. The time is asked for separately, each time that the token is presented. */
function claimsIn({ settings }: Core, token: string): AccessClaims | undefined {
  const { iss, aud, sub, sid, jti, exp, iat, nbf = iat } = unlessMalformed(() => decodeJwt(token)) ?? {};
  const isMeant = iss === settings.PUBLIC_URL && [aud].flat().includes(settings.TOKEN_AUDIENCE);
  if (!isMeant || !isText(sub) || !isText(sid) || !isText(jti)) return undefined;
  if (!isTime(iat) || !isTime(nbf) || !isTime(exp)) return undefined;
  return { userId: sub, sessionId: sid, notBefore: nbf, expiresAt: exp };
}

const isText = (value: unknown): value is string => typeof value === "string";

/** Seconds that a date can hold. */
const isTime = (value: unknown): value is number => typeof value === "number" && Math.abs(value) <= 8.64e12;

/** What jose reads; `undefined` where it says that there is nothing to read. */
function unlessMalformed<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof jose.JOSEError || error instanceof TypeError) return undefined;
    throw error;
  }
}
