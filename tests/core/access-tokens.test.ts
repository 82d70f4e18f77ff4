import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { createPrivateKey, sign } from "node:crypto";
import { type CryptoKey, exportJWK, exportSPKI, generateKeyPair, importJWK, type JWK, SignJWT } from "jose";
import { verifyAccessToken } from "../../src/core/access-tokens.ts";
import { login } from "../../src/core/login.ts";
import { open } from "../../src/core/secrets.ts";
import { authenticate } from "../../src/core/sessions.ts";
import { codeOf, firefox, goodPassword, openTestCore, registerAda, type TestCore, visitor } from "../support/core.ts";
import { counted } from "../support/watched.ts";

const second = 1000;
const issuer = "http://localhost:8000";

let core: TestCore;
let genuine: string;
let ours: { readonly kid: string; readonly privateJwk: JWK; readonly publicJwk: JWK };

beforeAll(async () => {
  core = await openTestCore();
  await registerAda(core);
  const active = (await core.store.signingKeys.current()).find((key) => key.state === "active")!;
  const privateJwk = JSON.parse(open(core.keyring, "signing-key", active.privateJwk!, active.kid)!) as JWK;
  ours = { kid: active.kid, privateJwk, publicJwk: active.publicJwk };
});
afterAll(() => core.close());

beforeEach(async () => {
  const given = await login(core, visitor, {
    identifier: "ada@example.com",
    password: goodPassword,
    credential: "tokens",
  });
  if (given.credential !== "tokens") throw new Error("asked for tokens");
  genuine = given.accessToken;
});

type Claims = Readonly<Record<string, unknown>>;
type Header = Readonly<Record<string, unknown>>;

const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
const parts = (token: string): [string, string, string] => token.split(".") as [string, string, string];
const read = (encoded: string): Claims => JSON.parse(Buffer.from(encoded, "base64url").toString()) as Claims;
const headerOf = (token: string): Header => read(parts(token)[0]);
const claimsOf = (token: string): Claims => read(parts(token)[1]);

/** Signed as our own server would: what is refused of it is refused for what it says, not for its signature. */
async function signed(header: Header, claims: Claims, jwk: JWK = ours.privateJwk): Promise<string> {
  return await signedText(`${part(header)}.${part(claims)}`, jwk);
}

async function signedText(text: string, jwk: JWK = ours.privateJwk): Promise<string> {
  const key = (await importJWK(jwk, "ES256")) as CryptoKey;
  const signature = await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, key, Buffer.from(text));
  return `${text}.${Buffer.from(signature).toString("base64url")}`;
}

/** Signed by us, with these very bytes in place of the genuine header or claims. */
const written = ({ header = json(headerOf), claims = json(claimsOf) }: { header?: Bytes; claims?: Bytes }) =>
  signedText([header, claims].map((bytes) => Buffer.from(bytes as string).toString("base64url")).join("."));
type Bytes = string | Uint8Array;
const json = (of: typeof claimsOf): string => JSON.stringify(of(genuine));
/** The same object with one more member at its end, which is the one that counts where it is there twice. */
const more = (of: typeof claimsOf, member: string): string => json(of).replace(/\}$/, `,${member}}`);
const illFormed = (of: typeof claimsOf): Uint8Array =>
  Buffer.concat([Buffer.from(json(of).replace(/\}$/, ',"x":"')), Buffer.from([0xc3, 0x28]), Buffer.from('"}')]);

/** The genuine token under another signature. */
const resigned = (change: (signature: Buffer) => Uint8Array): string => {
  const [header, claims, signature] = parts(genuine);
  return `${header}.${claims}.${Buffer.from(change(Buffer.from(signature, "base64url"))).toString("base64url")}`;
};
const zeros = Buffer.alloc(32);
/** How many points there are on P-256: both numbers of a signature are between 1 and this less one. */
const order = Buffer.from("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", "hex");

const widened = (given: Buffer): Buffer => Buffer.concat([zeros, given.subarray(0, 32), zeros, given.subarray(32)]);

function derSigned(): string {
  const [header, claims] = parts(genuine);
  const key = createPrivateKey({ key: ours.privateJwk, format: "jwk" });
  return `${header}.${claims}.${sign("sha256", Buffer.from(`${header}.${claims}`), key).toString("base64url")}`;
}

/** The genuine token, signed by us again after `header` and `claims` were changed. `undefined` takes a member away. */
const changed = (change: { header?: Header; claims?: Claims }): Promise<string> =>
  signed({ ...headerOf(genuine), ...change.header }, { ...claimsOf(genuine), ...change.claims });

const inSeconds = (seconds: number): number => core.clock.now().getTime() / second + seconds;

test("the forger of this file makes tokens that are taken, where it changes nothing", async () => {
  expect(await verifyAccessToken(core, await changed({}))).toMatchObject({ sessionId: claimsOf(genuine)["sid"] });
});

async function foreignPair() {
  const pair = await generateKeyPair("ES256", { extractable: true });
  return { privateJwk: await exportJWK(pair.privateKey), publicJwk: await exportJWK(pair.publicKey) };
}

const pem = async (jwk: JWK): Promise<Buffer> =>
  Buffer.from(await exportSPKI((await importJWK(jwk, "ES256", { extractable: true })) as CryptoKey));

/** HS256 whose secret is what everybody can read (RFC 8725, section 2.1). */
const hmacWith = (secret: Uint8Array): Promise<string> =>
  new SignJWT({ ...claimsOf(genuine) })
    .setProtectedHeader({ alg: "HS256", kid: ours.kid, typ: "at+jwt" })
    .sign(secret.byteLength < 32 ? Buffer.concat([secret, Buffer.alloc(32)]) : secret);

const lastOf = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

const forgeries: ReadonlyArray<readonly [string, () => Promise<string> | string]> = [
  ["no algorithm", () => `${part({ ...headerOf(genuine), alg: "none" })}.${parts(genuine)[1]}.`],
  ["no algorithm, under a signature", () => `${part({ ...headerOf(genuine), alg: "none" })}.${parts(genuine)[1]}.AA`],
  ["no algorithm, in other letters", () => `${part({ ...headerOf(genuine), alg: "nOnE" })}.${parts(genuine)[1]}.AA`],
  ["HS256 with the public key as PEM", async () => hmacWith(await pem(ours.publicJwk))],
  ["HS256 with the public key as JWK", () => hmacWith(Buffer.from(JSON.stringify(ours.publicJwk)))],
  ["HS256 with nothing", () => hmacWith(new Uint8Array(32))],
  ["another algorithm of ours", () => changed({ header: { alg: "EdDSA" } })],
  ["an algorithm that is none of ours", () => changed({ header: { alg: "ES384" } })],
  [
    "a key of somebody else, under our kid",
    async () => signed(headerOf(genuine), claimsOf(genuine), (await foreignPair()).privateJwk),
  ],
  ["an unknown kid", () => changed({ header: { kid: "01890a5d-ac96-774b-bcce-b302099a8057" } })],
  ["a kid that is a path", () => changed({ header: { kid: "../../etc/passwd" } })],
  ["a kid that is SQL", () => changed({ header: { kid: "x' OR 1=1 --" } })],
  ["a kid that is a member of every object", () => changed({ header: { kid: "__proto__" } })],
  ["a kid that is no text", () => changed({ header: { kid: 1 } })],
  ["no kid", () => changed({ header: { kid: undefined } })],
  [
    "its own key",
    async () => {
      const { privateJwk, publicJwk } = await foreignPair();
      return await signed({ ...headerOf(genuine), jwk: publicJwk }, claimsOf(genuine), privateJwk);
    },
  ],
  ["its own key, that is ours", () => changed({ header: { jwk: ours.publicJwk } })],
  ["a place to fetch keys from", () => changed({ header: { jku: "http://127.0.0.1:1/keys" } })],
  ["a place to fetch a certificate from", () => changed({ header: { x5u: "http://127.0.0.1:1/x" } })],
  ["a certificate", () => changed({ header: { x5c: ["AA=="] } })],
  ["an unknown critical member", () => changed({ header: { crit: ["x"], x: true } })],
  ["an empty list of critical members", () => changed({ header: { crit: [] } })],
  ["an unencoded payload", () => changed({ header: { crit: ["b64"], b64: false } })],
  ["no type", () => changed({ header: { typ: undefined } })],
  ["the type of an ID token", () => changed({ header: { typ: "JWT" } })],
  ["another issuer", () => changed({ claims: { iss: "https://evil.example" } })],
  ["an issuer with a slash too many", () => changed({ claims: { iss: `${issuer}/` } })],
  ["another audience", () => changed({ claims: { aud: "https://other.example" } })],
  ...["iss", "aud", "exp", "iat", "sub", "jti", "sid"].map(
    (name) => [`no ${name}`, () => changed({ claims: { [name]: undefined } })] as const,
  ),
  ["an expiry that is a text", () => changed({ claims: { exp: "9999999999" } })],
  ["an expiry that is null", () => changed({ claims: { exp: null } })],
  ["a beginning that is a text", () => changed({ claims: { nbf: "0" } })],
  ["a beginning that is null", () => changed({ claims: { nbf: null } })],
  ["an issue that is a text", () => changed({ claims: { iat: "0" } })],
  ["a beginning that no clock will reach", () => changed({ claims: { nbf: 1e300 } })],
  ["an expiry before all time", () => changed({ claims: { exp: -1e300 } })],
  ["a session that is a number", () => changed({ claims: { sid: 1 } })],
  ["an id that is a number", () => changed({ claims: { jti: 1 } })],
  ["several audiences without ours", () => changed({ claims: { aud: ["https://a.example", "https://b.example"] } })],
  ["no audience in its list", () => changed({ claims: { aud: [] } })],
  ["a list in its list of audiences", () => changed({ claims: { aud: [[issuer]] } })],
  ["an object as its audience", () => changed({ claims: { aud: { 0: issuer, length: 1 } } })],
  ["an issuer in a list", () => changed({ claims: { iss: [issuer] } })],
  ["its issuer twice, then another's", () => written({ claims: more(claimsOf, '"iss":"https://evil.example"') })],
  ["its algorithm twice, then none", () => written({ header: more(headerOf, '"alg":"none"') })],
  ["its type twice, then another", () => written({ header: more(headerOf, '"typ":"JWT"') })],
  ["all claims in a prototype", () => written({ claims: `{"__proto__":${json(claimsOf)}}` })],
  ["its header in a prototype", () => written({ header: `{"__proto__":${json(headerOf)}}` })],
  ["claims in a list", () => written({ claims: `[${json(claimsOf)}]` })],
  ["claims that are a text", () => written({ claims: JSON.stringify(json(claimsOf)) })],
  ["claims that are null", () => written({ claims: "null" })],
  ["claims that are no JSON, signed", () => written({ claims: `${json(claimsOf)}x` })],
  ["claims that are no UTF-8", () => written({ claims: illFormed(claimsOf) })],
  ["a header in a list", () => written({ header: `[${json(headerOf)}]` })],
  ["a header that is no JSON, signed", () => written({ header: `${json(headerOf)}x` })],
  ["a header that is no UTF-8", () => written({ header: illFormed(headerOf) })],
  ["a critical member that is null", () => changed({ header: { crit: null } })],
  ["an encoded payload that says so", () => changed({ header: { crit: ["b64"], b64: true } })],
  ["a type with a blank", () => changed({ header: { typ: "at+jwt " } })],
  ["a type with a parameter", () => changed({ header: { typ: "application/at+jwt;v=1" } })],
  ["a type in a list", () => changed({ header: { typ: ["at+jwt"] } })],
  ["an algorithm in other letters", () => changed({ header: { alg: "es256" } })],
  ["an algorithm in a list", () => changed({ header: { alg: ["ES256"] } })],
  ["the signature in DER", () => derSigned()],
  ["a signature of zeros", () => resigned(() => Buffer.concat([zeros, zeros]))],
  ["a signature whose first number is zero", () => resigned((given) => Buffer.concat([zeros, given.subarray(32)]))],
  ["a signature whose second number is zero", () => resigned((given) => Buffer.concat([given.subarray(0, 32), zeros]))],
  ["a signature of the order of the curve", () => resigned(() => Buffer.concat([order, order]))],
  ["its signature without the last byte", () => resigned((given) => given.subarray(0, -1))],
  ["its signature with a byte more", () => resigned((given) => Buffer.concat([given, Buffer.alloc(1)]))],
  ["its signature with zeros before both numbers", () => resigned(widened)],
  ["its signature twice", () => resigned((given) => Buffer.concat([given, given]))],
  ["a subject that is a list", () => changed({ claims: { sub: [claimsOf(genuine)["sub"]] } })],
  [
    "one claim changed under the old signature",
    () => {
      const [header, , signature] = parts(genuine);
      return `${header}.${part({ ...claimsOf(genuine), roles: ["admin"] })}.${signature}`;
    },
  ],
  ["two parts", () => parts(genuine).slice(0, 2).join(".")],
  ["two dots at its end", () => `${genuine}..`],
  ["no header", () => genuine.replace(/^[^.]+/, "")],
  ["five parts, as an encrypted one", () => `${genuine}.AA.AA`],
  ["more than 8 KiB", () => changed({ claims: { pad: "x".repeat(8 * 1024) } })],
  ["a blank before it", () => ` ${genuine}`],
  ["a line after it", () => `${genuine}\n`],
  ["padding", () => `${genuine}==`],
  ["a payload that is no JSON", () => `${parts(genuine)[0]}.AAAA.${parts(genuine)[2]}`],
  ["a header that is no object", () => `${part(null)}.${parts(genuine)[1]}.${parts(genuine)[2]}`],
  ["letters of another script", () => genuine.replace("e", "е")],
];

describe("TK-1 refused, and never with a throw: a token with", () => {
  test.each(forgeries)("%s", async (_, forge) => {
    const forged = await forge();
    expect(await verifyAccessToken(core, forged)).toBeUndefined();
    expect(await verifyAccessToken(core, forged, { expired: true })).toBeUndefined();
    expect(await codeOf(authenticate(core, forged, firefox))).toBe("unauthenticated");
    expect(await verifyAccessToken(core, genuine)).toBeDefined();
  });

  test.each([
    ["header", (header: string, claims: string) => [respelled(header), claims]],
    ["payload", (header: string, claims: string) => [header, respelled(claims)]],
  ] as const)("a %s in another spelling of the same bytes, though it is signed", async (_, respell) => {
    // Blanks at the end, so that there are bits left over.
    const [header, claims] = [headerOf, claimsOf].map((of) => {
      const text = json(of);
      return Buffer.from(text.padEnd(text.length + ((4 - (text.length % 3)) % 3))).toString("base64url");
    }) as [string, string];
    expect(await verifyAccessToken(core, await signedText(`${header}.${claims}`))).toBeDefined();
    expect(await verifyAccessToken(core, await signedText(respell(header, claims).join(".")))).toBeUndefined();
  });

  test("a signature in another spelling of the same bytes", async () => {
    // 64 bytes fill 85 letters and a third: four bits of the last letter say nothing, and decoders ignore them.
    const spellings = Array.from({ length: 15 }, (_, more) => {
      const last = lastOf.indexOf(genuine.at(-1)!);
      return genuine.slice(0, -1) + lastOf[(last & 0b110000) | ((last + more + 1) & 0b001111)]!;
    });
    const bytes = (token: string) => Buffer.from(parts(token)[2], "base64url").toString("hex");
    expect(new Set([genuine, ...spellings].map(bytes)).size).toBe(1);
    expect(new Set([genuine, ...spellings]).size).toBe(16);
    for (const spelling of spellings) expect(await verifyAccessToken(core, spelling)).toBeUndefined();
  });
});

/** The last letter of two bits and four that say nothing. */
function respelled(encoded: string): string {
  const other = encoded.slice(0, -1) + lastOf[lastOf.indexOf(encoded.at(-1)!) + 1]!;
  expect(Buffer.from(other, "base64url")).toEqual(Buffer.from(encoded, "base64url"));
  return other;
}

describe("TK-1 taken: a token with", () => {
  test.each([
    ["its type in other letters", { header: { typ: "AT+JWT" } }],
    ["its type in full", { header: { typ: "application/at+jwt" } }],
    ["its type in full, in other letters", { header: { typ: "Application/At+Jwt" } }],
    ["us among its audiences", { claims: { aud: ["https://other.example", issuer] } }],
    ["no beginning", { claims: { nbf: undefined } }],
    ["members that nobody knows", { header: { x: 1 }, claims: { x: 1 } }],
    ["an expiry between two seconds", { claims: { exp: 9_999_999_999.5 } }],
  ] satisfies Array<[string, Parameters<typeof changed>[0]]>)("%s", async (_, change) => {
    expect(await verifyAccessToken(core, await changed(change))).toBeDefined();
  });
});

describe("TK-1 time", () => {
  test("a token lives to the last millisecond before its expiry, and not one longer", async () => {
    const expiresAt = Number(claimsOf(genuine)["exp"]) * second;
    core.clock.advance(expiresAt - 1 - core.clock.now().getTime());
    expect(await verifyAccessToken(core, genuine)).toBeDefined();
    core.clock.advance(1);
    expect(await verifyAccessToken(core, genuine)).toBeUndefined();
    expect(await verifyAccessToken(core, genuine, { expired: true })).toBeDefined();
  });

  test("a clock of another machine may be 30 s ahead in `nbf`, and not 90 s", async () => {
    expect(await verifyAccessToken(core, await changed({ claims: { nbf: Math.floor(inSeconds(30)) } }))).toBeDefined();
    expect(await verifyAccessToken(core, await changed({ claims: { nbf: Math.ceil(inSeconds(90)) } }))).toBeUndefined();
  });

  test("the tabs of a browser do not all refresh at once: up to 5 % of the life is taken off at random", async () => {
    const lives = await Promise.all(
      Array.from({ length: 40 }, async () => {
        const given = await login(core, visitor, {
          identifier: "ada@example.com",
          password: goodPassword,
          credential: "tokens",
        });
        return given.expiresIn;
      }),
    );
    expect(Math.max(...lives)).toBeLessThanOrEqual(900);
    expect(Math.min(...lives)).toBeGreaterThanOrEqual(854);
    expect(new Set(lives).size).toBeGreaterThan(5);
  });
});

describe("TK-2 a genuine token", () => {
  test("of a session that never was is refused", async () => {
    const orphan = await changed({ claims: { sid: "01890a5d-ac96-774b-bcce-b302099a8057" } });
    expect(await codeOf(authenticate(core, orphan, firefox))).toBe("unauthenticated");
  });

  test("of one user on the session of another is refused", async () => {
    const { user } = await registerAda(
      core,
      `grace-${genuine
        .slice(-8)
        .toLowerCase()
        .replaceAll(/[^a-z0-9]/g, "x")}@example.com`,
    );
    const crossed = await changed({ claims: { sub: user.id } });
    expect(await verifyAccessToken(core, crossed)).toBeDefined();
    expect(await codeOf(authenticate(core, crossed, firefox))).toBe("unauthenticated");
  });

  test("costs one look at the database, and a forged one none", async () => {
    await verifyAccessToken(core, genuine);
    const { core: watchedCore, calls } = counted(core);
    await authenticate(watchedCore, genuine, firefox);
    expect(calls).toEqual(["sessions.standing"]);
    calls.length = 0;
    const [header, , signature] = parts(genuine);
    await codeOf(authenticate(watchedCore, `${header}.${part({ sub: "x" })}.${signature}`, firefox));
    expect(calls).toEqual([]);
  });
});

test.each(["ES256", "EdDSA", "RS256"])(
  "TOKEN_ALGORITHM %s signs tokens that anyone can verify by the published keys",
  async (algorithm) => {
    const other = await openTestCore({ TOKEN_ALGORITHM: algorithm });
    await registerAda(other);
    const given = await login(other, visitor, {
      identifier: "ada@example.com",
      password: goodPassword,
      credential: "tokens",
    });
    if (given.credential !== "tokens") throw new Error("asked for tokens");
    const { alg, kid } = headerOf(given.accessToken);
    expect(alg).toBe(algorithm);
    const row = (await other.store.signingKeys.current()).find((key) => key.kid === kid)!;
    expect(await importJWK(row.publicJwk, algorithm)).toBeDefined();
    expect(await verifyAccessToken(other, given.accessToken)).toMatchObject({ userId: given.standing.user.id });
    const [header, claims, signature] = parts(given.accessToken);
    for (const altered of [signature.slice(0, -4), `${signature.slice(0, -4)}AAAA`, "A".repeat(signature.length)])
      expect(await verifyAccessToken(other, `${header}.${claims}.${altered}`)).toBeUndefined();
    await other.close();
  },
);
