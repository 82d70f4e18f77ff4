import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { createHashing } from "../../src/core/passwords/hashing.ts";
import { readHash } from "../../src/core/passwords/stored-hashes.ts";
import { createTestClock } from "../support/clock.ts";

const hashing = createHashing({ memoryCost: 8, timeCost: 1, concurrency: 2, queue: 100 }, createTestClock());
const base64 = (hex: string): string => Buffer.from(hex, "hex").toString("base64").replace(/=+$/, "");
const unpadded = (text: string): string => Buffer.from(text).toString("base64").replace(/=+$/, "");
const staple = "correct horse battery staple";

/** Each with where it was taken from: none was made by the code that is tested. */
const vectors = {
  "argon2i, from the tests of Supabase's auth server": [
    "test",
    "$argon2i$v=19$m=16,t=2,p=1$bGJRWThNOHJJTVBSdHl2dQ$NfEnUOuUpb7F2fQkgFUG4g",
  ],
  "argon2id of two lanes, from the tests of Supabase's auth server": [
    "test",
    "$argon2id$v=19$m=32,t=3,p=2$SFVpOWJ0eXhjRzVkdGN1RQ$RXnb8rh7LaDcn07xsssqqulZYXOM/EUCEFMVcAcyYVk",
  ],
  "argon2id of two lanes, from the tests of the reference implementation": [
    "password",
    "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc",
  ],
  "bcrypt 2a, from the tests of crypt_blowfish": [
    "U*U",
    "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
  ],
  "bcrypt 2a, by crypt(3)": [staple, "$2a$05$abcdefghijklmnopqrstuuFiPhXf1sVd3pCCRO.uVh34H/qI/ZsuS"],
  "bcrypt 2b, by crypt(3)": [staple, "$2b$05$abcdefghijklmnopqrstuuFiPhXf1sVd3pCCRO.uVh34H/qI/ZsuS"],
  "bcrypt 2y, by crypt(3)": [staple, "$2y$05$abcdefghijklmnopqrstuuFiPhXf1sVd3pCCRO.uVh34H/qI/ZsuS"],
  "bcrypt of 80 bytes, by crypt(3)": ["a".repeat(80), "$2b$05$abcdefghijklmnopqrstuuGUnCqbfgs3htOkLrFduUjAyLBw1Rq/u"],
  "bcrypt of 80 bytes of two each, by crypt(3)": [
    "é".repeat(40),
    "$2b$05$abcdefghijklmnopqrstuu9CyuiEyTnupb4rnoYIlshaDzoYa6ZaS",
  ],
  "bcrypt cut in the middle of a character, by crypt(3)": [
    `x${"é".repeat(40)}`,
    "$2b$05$abcdefghijklmnopqrstuurp5EtQMusKv0BIOBKw4N2fjahqpeT1.",
  ],
  "pbkdf2-sha1, from RFC 6070": [
    "password",
    `$pbkdf2-sha1$i=4096,l=20$${unpadded("salt")}$${base64("4b007901b765489abead49d926f721d065a429c1")}`,
  ],
  "pbkdf2-sha256, from RFC 7914": [
    "Password",
    `$pbkdf2-sha256$i=80000,l=64$${unpadded("NaCl")}$${base64("4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56a1d425a1225833549adb841b51c9b3176a272bdebba1d078478f62b397f33c8d")}`,
  ],
  "pbkdf2-sha512, by hashlib of Python": [
    staple,
    "$pbkdf2-sha512$i=1000,l=64$c2FsdHkgc2FsdCBzYWx0eQ$/wLzM0DXvw5sw8qhMrAy/xfzc2skgq2mfADAWZzUVE45lL56unhpjrURcbWiCQoyMjB0QfXnpAR+QxIE9bUZ8w",
  ],
  "scrypt, from RFC 7914": [
    "pleaseletmein",
    `$scrypt$ln=14,r=8,p=1$${unpadded("SodiumChloride")}$${base64("7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887")}`,
  ],
  "scrypt, by hashlib of Python": [
    staple,
    "$scrypt$ln=4,r=8,p=1$c2FsdHkgc2FsdCBzYWx0eQ$RnpzQshSB/iSj3z+V6wdWDjrqxFnWtk7IaFrNXEfjzw",
  ],
  "Firebase's scrypt, from its own README": [
    "user1password",
    "$fbscrypt$v=1,n=14,r=8,p=1,ss=Bw==,sk=jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA==$42xEC+ixf3L2lw==$lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ==",
  ],
} as const;
const named = Object.entries(vectors);

describe("a hash of another system (ADM-7)", () => {
  test.each(named)("%s: its password fits, no other does, and it is to be replaced", async (_, [password, stored]) => {
    expect(readHash(stored)?.bearable).toBeTrue();
    expect(await hashing.verify(password, stored)).toBeTrue();
    expect(await hashing.verify(`${password.slice(0, 1)}!${password.slice(2)}`, stored)).toBeFalse();
    expect(await hashing.verify(password.slice(0, Math.min(password.length - 1, 35)), stored)).toBeFalse();
    expect(await hashing.verify("", stored)).toBeFalse();
    expect(hashing.needsRehash(stored)).toBeTrue();
  });

  // The beginning of what scrypt derives is what it derives where less is asked for.
  test.each(named.filter(([name]) => !name.includes("scrypt")))(
    "%s: no piece of it and no altered text is a defect",
    async (_, [password, stored]) => {
      const pieces = [
        `${stored}\n`,
        ` ${stored}`,
        `${stored}A`,
        stored.replace("$", ""),
        stored.replace(/\$[^$]*$/, "$"),
      ];
      for (const piece of [...pieces, ...Array.from({ length: 20 }, (_, cut) => stored.slice(0, -1 - cut))]) {
        expect(await hashing.verify(password, piece)).toBeFalse();
      }
    },
  );

  test("PW-6 is compared over its first 72 bytes where it is bcrypt, as the other system did", async () => {
    const [, stored] = vectors["bcrypt of 80 bytes, by crypt(3)"];
    expect(await hashing.verify("a".repeat(72), stored)).toBeTrue();
    expect(await hashing.verify(`${"a".repeat(72)}b`, stored)).toBeTrue();
    expect(await hashing.verify("a".repeat(71), stored)).toBeFalse();
  });

  test("is not bcrypt's where the password holds a NUL, which bcrypt takes for its end", async () => {
    const stored = await Bun.password.hash("a", { algorithm: "bcrypt", cost: 4 });
    expect(await hashing.verify("a", stored)).toBeTrue();
    for (const password of ["a\0", "a\0a", "\0"]) expect(await hashing.verify(password, stored)).toBeFalse();
  });

  test("fits what was typed, and the same text from another keyboard", async () => {
    const typed = "crème brûlée".normalize("NFD");
    const [asTyped, normal] = await Promise.all(
      [typed, typed.normalize("NFKC")].map((text) => Bun.password.hash(text, { algorithm: "bcrypt", cost: 4 })),
    );
    expect(await hashing.verify(typed, asTyped!)).toBeTrue();
    expect(await hashing.verify(typed, normal!)).toBeTrue();
    expect(await hashing.verify(typed.normalize("NFKC"), asTyped!)).toBeFalse();
  });

  test.each([
    "$2b$03$abcdefghijklmnopqrstuuFiPhXf1sVd3pCCRO.uVh34H/qI/ZsuS",
    "$2b$15$abcdefghijklmnopqrstuuFiPhXf1sVd3pCCRO.uVh34H/qI/ZsuS",
    "$2b$31$abcdefghijklmnopqrstuuFiPhXf1sVd3pCCRO.uVh34H/qI/ZsuS",
    vectors["argon2i, from the tests of Supabase's auth server"][1].replace("m=16", "m=262145"),
    vectors["argon2i, from the tests of Supabase's auth server"][1].replace("t=2", "t=11"),
    vectors["argon2i, from the tests of Supabase's auth server"][1].replace("p=1", "p=5"),
    vectors["pbkdf2-sha1, from RFC 6070"][1].replace("i=4096", "i=2000001"),
    vectors["pbkdf2-sha1, from RFC 6070"][1].replace("i=4096", "i=0"),
    vectors["scrypt, from RFC 7914"][1].replace("ln=14", "ln=0"),
    vectors["scrypt, from RFC 7914"][1].replace("ln=14", "ln=19"),
    vectors["scrypt, from RFC 7914"][1].replace("ln=14", "ln=99"),
    vectors["scrypt, from RFC 7914"][1].replace("r=8", "r=999"),
    vectors["scrypt, from RFC 7914"][1].replace("r=8", "r=0"),
    vectors["scrypt, from RFC 7914"][1].replace("p=1", "p=5"),
    vectors["Firebase's scrypt, from its own README"][1].replace("n=14", "n=19"),
  ])("is never computed where it would stall the server: %s", async (stored) => {
    expect(readHash(stored)?.bearable).toBeFalse();
    const verdict = hashing.verify(staple, stored);
    expect(hashing.running).toBe(0);
    expect(await verdict).toBeFalse();
  });

  test.each([
    "$2x$05$abcdefghijklmnopqrstuuGVlx7LxQ5VIkx546JGb6CFJyD7WVNkW",
    "$2b$05$abcdefghijklmnopqrstuu",
    "$1$abcdefgh$abcdefghijklmnopqrstuv",
    "$argon2id$v=16$m=16,t=2,p=1$bGJRWThNOHJJTVBSdHl2dQ$NfEnUOuUpb7F2fQkgFUG4g",
    "$pbkdf2-md5$i=4096,l=20$c2FsdA$SwB5AbdlSJq+rUnZJvch0GWkKcE",
    "$pbkdf2-sha1$i=4096,l=21$c2FsdA$SwB5AbdlSJq+rUnZJvch0GWkKcE",
    "$pbkdf2-sha1$i=4096,l=1$c2FsdA$AA",
    "$scrypt$ln=14,r=8,p=1$!$RnpzQshSB/iSj3z+V6wdWDjrqxFnWtk7IaFrNXEfjzw",
    "$fbscrypt$v=1,n=14,r=8,p=1,ss=Bw==,sk=AAAA$42xEC+ixf3L2lw==$AAAA",
    "hunter2",
    "",
  ])("is not understood: %s", (stored) => {
    expect(readHash(stored)).toBeUndefined();
  });

  test("never makes a text an error, whatever it is", () => {
    const letters = fc.constantFrom(...Array.from("$2aby0145,=mtplnrisk/.+Az\n\0"));
    fc.assert(fc.property(fc.string({ unit: letters }), (text) => readHash(text) === undefined));
  });
});
