import { describe, expect, test } from "bun:test";
import { systemRandom } from "../../src/adapters/system.ts";
import {
  createKeyring,
  mintSecret,
  open,
  saltedKey,
  sameText,
  seal,
  sealedBy,
  sign,
  verify,
  writingVersion,
} from "../../src/core/secrets.ts";

const old = "Zk3uQ9pL7xW2vN8rT5yB1mC6dF4gH0jS";
const fresh = "p0Yt6Rw2Qe8Ui4Oa1Sd7Fg3Hj9Kl5Zxc";
const keyring = createKeyring([old]);
const rotated = createKeyring([fresh, old]);
const text = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA";

const sealed = (where = keyring) => seal(where, systemRandom, "password-hash", text, "user-1");

describe("PW-7 what is sealed", () => {
  test("opens for the same purpose and row, and nowhere else", () => {
    const one = sealed();
    expect(open(keyring, "password-hash", one, "user-1")).toBe(text);
    expect(open(keyring, "password-hash", one, "user-2")).toBeUndefined();
    expect(open(keyring, "signing-key", one, "user-1")).toBeUndefined();
    expect(open(createKeyring([fresh]), "password-hash", one, "user-1")).toBeUndefined();
  });

  test("says nothing of its text, and looks different each time", () => {
    const [one, two] = [sealed(), sealed()];
    expect(one).not.toBe(two);
    expect(Buffer.from(one.split(".")[2]!, "base64url").toString("latin1")).not.toContain("argon2");
  });

  test("does not open with any bit changed", () => {
    const one = sealed();
    const [form, version, body] = one.split(".");
    const bytes = Buffer.from(body!, "base64url");
    for (let at = 0; at < bytes.length * 8; at++) {
      const flipped = Buffer.from(bytes);
      flipped[at >> 3]! ^= 1 << (at & 7);
      const altered = `${form}.${version}.${flipped.toString("base64url")}`;
      expect(open(keyring, "password-hash", altered, "user-1")).toBeUndefined();
    }
  });

  test.each(["", "v1", "v1..", "v1.x.y", "v2.x.y", text])("is undefined where it never was sealed: %p", (never) => {
    expect(open(keyring, "password-hash", never, "user-1")).toBeUndefined();
  });
});

describe("TK-7 several server secrets", () => {
  test("the newest writes, all of them read", () => {
    const before = sealed();
    expect(open(rotated, "password-hash", before, "user-1")).toBe(text);
    const after = sealed(rotated);
    expect([sealedBy(before), sealedBy(after)]).toEqual([writingVersion(keyring), writingVersion(rotated)]);
    expect(open(keyring, "password-hash", after, "user-1")).toBeUndefined();
    expect(verify(rotated, "session-token", "x", sign(keyring, "session-token", "x"))).toBe(true);
    expect(verify(keyring, "session-token", "x", sign(rotated, "session-token", "x"))).toBe(false);
  });

  test("a version follows from the secret itself, so that no two machines can disagree about it", () => {
    expect(writingVersion(createKeyring([old]))).toBe(writingVersion(createKeyring([old, fresh])));
    expect(writingVersion(keyring)).toMatch(/^[\w-]{8}$/);
    expect(old).not.toContain(writingVersion(keyring));
  });

  test("no key serves two purposes", () => {
    const purposes = ["session-token", "refresh-token", "password-hash", "signing-key"] as const;
    expect(new Set(purposes.map((purpose) => sign(keyring, purpose, "x"))).size).toBe(4);
  });

  test("a salted key needs the secret, the salt and the row", () => {
    const version = writingVersion(keyring);
    const key = (salt: string, row: string) => saltedKey(keyring, version, "refresh-token", salt, row)?.toString("hex");
    expect(new Set([key("a", "1"), key("b", "1"), key("a", "2")]).size).toBe(3);
    expect(saltedKey(keyring, writingVersion(createKeyring([fresh])), "refresh-token", "a", "1")).toBeUndefined();
  });

  test("there is no keyring without a secret", () => {
    expect(() => createKeyring([])).toThrow();
  });
});

describe("SE-2 a bearer secret", () => {
  test("has 256 bits, and no two are alike", () => {
    const many = Array.from({ length: 1000 }, () => mintSecret(systemRandom));
    for (const one of many) expect(Buffer.from(one, "base64url")).toHaveLength(32);
    expect(new Set(many).size).toBe(1000);
  });

  test.each([
    ["", "", true],
    ["a", "a", true],
    ["a", "b", false],
    ["a", "ab", false],
    ["\u00e9", "e\u0301", false],
  ])("%p and %p are the same: %p", (one, other, same) => {
    expect(sameText(one, other)).toBe(same);
  });
});
