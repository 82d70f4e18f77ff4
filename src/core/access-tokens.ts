import { type JWTHeaderParameters, errors as jose, jwtVerify, SignJWT } from "jose";
import type { Session } from "../store/tables.ts";
import type { Core } from "./core.ts";
import { sha256 } from "./secrets.ts";
import { clockSkew, currentKeys, type Keys, keysAtHand, signingKey, verifyingKey } from "./signing-keys.ts";

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
  const token = await new SignJWT({
    sid: session.id,
    client_id: firstPartyClient,
    roles: grants.roles,
    scope: grants.permissions.join(" "),
  })
    .setProtectedHeader({ alg: signing.algorithm, kid: signing.kid, typ: "at+jwt" })
    .setIssuer(core.settings.PUBLIC_URL)
    .setAudience(core.settings.TOKEN_AUDIENCE)
    .setSubject(session.userId)
    .setIssuedAt(issuedAt)
    .setNotBefore(issuedAt)
    .setExpirationTime(expiresAt)
    .setJti(core.random.id(now))
    .sign(signing.key);
  const { verifying } = await currentKeys(core);
  // What was signed here needs no proof here. The key may have gone meanwhile, where it had leaked.
  if (verifying.has(signing.kid)) {
    const claims = { userId: session.userId, sessionId: session.id, notBefore: issuedAt, expiresAt };
    remember(rememberedBy(verifying), sha256(token), claims);
  }
  return { token, expiresIn: expiresAt - issuedAt };
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
  if (token.length > longestToken || !/^[\w-]+\.[\w-]+\.[\w-]+$/.test(token)) return undefined;
  const { verifying } = await currentKeys(core);
  const remembered = rememberedBy(verifying);
  const hash = sha256(token);
  const claims = remembered.get(hash) ?? (await verifySignature(core, token));
  if (!claims) return undefined;
  remember(remembered, hash, claims);
  return inTime(core.clock.now(), claims, options);
}

/** The same at once, where the token was verified before by keys that need not be read again. */
export function claimsAtHand(core: Core, token: string, now: Date): AccessClaims | undefined {
  const keys = keysAtHand(core, now);
  const claims = keys && verifiedBy.get(keys.verifying)?.get(sha256(token));
  return claims && inTime(now, claims, { expired: false });
}

/** Our own expiry has no leeway; what another machine's clock wrote into `nbf` has. */
function inTime(now: Date, claims: AccessClaims, options: { expired: boolean }): AccessClaims | undefined {
  const begun = claims.notBefore * 1000 <= now.getTime() + clockSkew;
  return begun && (options.expired || claims.expiresAt * 1000 > now.getTime()) ? claims : undefined;
}

async function verifySignature(core: Core, token: string): Promise<AccessClaims | undefined> {
  const signature = token.slice(token.lastIndexOf(".") + 1);
  // One spelling of a signature: base64url leaves bits over that a decoder would ignore.
  if (Buffer.from(signature, "base64url").toString("base64url") !== signature) return undefined;
  try {
    const { payload } = await jwtVerify(token, (header) => keyFor(core, header), {
      algorithms: ["ES256", "EdDSA", "RS256"],
      typ: "at+jwt",
      issuer: core.settings.PUBLIC_URL,
      audience: core.settings.TOKEN_AUDIENCE,
      requiredClaims: ["exp", "iat", "sub", "jti", "sid"],
      // The time is asked for separately, each time that the token is presented.
      clockTolerance: Number.MAX_SAFE_INTEGER,
    });
    const { sub, sid, jti, exp, iat, nbf = iat } = payload;
    const isText = (value: unknown): value is string => typeof value === "string";
    if (!isText(sub) || !isText(sid) || !isText(jti) || exp === undefined || nbf === undefined) return undefined;
    return { userId: sub, sessionId: sid, notBefore: nbf, expiresAt: exp };
  } catch (error) {
    if (error instanceof jose.JOSEError || error instanceof TypeError || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** The key of the token's `kid`, for its own algorithm alone: the header chooses neither (RFC 8725, section 3.1). */
async function keyFor(core: Core, header: JWTHeaderParameters) {
  const known =
    typeof header.kid === "string" && !foreignMembers.some((name) => name in header)
      ? await verifyingKey(core, header.kid)
      : undefined;
  if (!known || known.algorithm !== header.alg) throw new jose.JWSInvalid("no such key");
  return known.key;
}
