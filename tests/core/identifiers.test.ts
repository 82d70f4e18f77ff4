import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { identifierKey, parseEmail, parseFullName, parseUsername } from "../../src/core/identifiers.ts";

const problem = { problem: expect.any(String) };

describe("an address (REG-4, IO-2)", () => {
  test("is kept as it was typed, and compared without case and with its domain in ASCII", () => {
    expect(parseEmail("  Ada.Lovelace+news@Example.COM\t")).toEqual({
      email: "Ada.Lovelace+news@Example.COM",
      emailKey: "ada.lovelace+news@example.com",
    });
    expect(parseEmail("Jürgen@MÜNCHEN.de")).toEqual({
      email: "Jürgen@MÜNCHEN.de",
      emailKey: "jürgen@xn--mnchen-3ya.de",
    });
    expect(parseEmail("jürgen@xn--mnchen-3ya.de")).toHaveProperty("emailKey", "jürgen@xn--mnchen-3ya.de");
  });

  test.each([
    "o'brien@example.ie",
    "a@b.co",
    "x_y-z=1@sub.example.org",
    "root@localhost",
    "用户@例子.广告",
    `${"x".repeat(64)}@example.com`,
  ])("may be %s", (text) => {
    expect(parseEmail(text)).toHaveProperty("emailKey");
  });

  test.each([
    ["nothing", ""],
    ["without an @", "example.com"],
    ["without a local part", "@example.com"],
    ["without a domain", "ada@"],
    ["two @", "ada@evil.example@example.com"],
    ["two of them", "ada@example.com,eve@example.com"],
    ["two of them, otherwise", "ada@example.com;eve@example.com"],
    ["with a name", "Ada <ada@example.com>"],
    ["quoted", '"ada@evil.example"@example.com'],
    ["with a line break", "ada@example.com\r\nBcc: eve@example.com"],
    ["with a line break in it", "ada\n@example.com"],
    ["with NUL", "ada\u0000@example.com"],
    ["with a blank", "ada lovelace@example.com"],
    ["with a no-break space", "ada\u00a0@example.com"],
    ["with a soft hyphen", "ada@exam\u00adple.com"],
    ["with a zero-width space", "ada\u200b@example.com"],
    ["turned around", "ada\u202e@example.com"],
    ["with half a surrogate pair", "ada\ud800@example.com"],
    ["with a Kelvin sign, whose lower case is k", "\u212aarl@example.com"],
    ["with a Kelvin sign in the domain", "karl@\u212aarl.com"],
    ["with a long s, which NFKC makes an s", "ma\u017f@example.com"],
    ["with full-width letters", "ａda@example.com"],
    ["with an ideographic full stop", "ada@example。com"],
    ["with an address literal", "ada@[127.0.0.1]"],
    ["with an IPv4 address", "ada@127.0.0.1"],
    ["with an IPv4 address in disguise", "ada@0x7f.1"],
    ["with an IPv6 address", "ada@::1"],
    ["with a port", "ada@example.com:25"],
    ["with a path", "ada@example.com/x"],
    ["with an escape", "ada@exa%6dple.com"],
    ["with a dotless domain", "ada@intranet"],
    ["with an empty label", "ada@example..com"],
    ["with a dot at the end", "ada@example.com."],
    ["with a hyphen first", "ada@-example.com"],
    ["with an underscore in the domain", "ada@exa_mple.com"],
    ["with a broken A-label", "ada@xn--zzzzzzzz999999.de"],
    ["with a dot first", ".ada@example.com"],
    ["with two dots", "ada..l@example.com"],
    ["with a local part over 64 bytes", `${"x".repeat(65)}@example.com`],
    ["with a local part over 64 bytes of UTF-8", `${"é".repeat(33)}@example.com`],
    ["with a label over 63", `ada@${"x".repeat(64)}.com`],
    ["over 254 bytes", `ada@${"x.".repeat(125)}example.com`],
  ])("is never %s", (_, text) => {
    expect(parseEmail(text)).toEqual(problem);
  });

  test("that looks like another one is another one", () => {
    const latin = parseEmail("admin@example.com");
    const cyrillic = parseEmail("аdmin@example.com");
    expect(cyrillic).toHaveProperty("emailKey");
    expect(cyrillic).not.toEqual(latin);
  });

  test("of any text is read without an exception, and its key is its own key", () => {
    const anything = fc.oneof(
      fc.emailAddress(),
      fc.string({ unit: "binary" }),
      fc.tuple(fc.string({ unit: "grapheme" }), fc.domain()).map((parts) => parts.join("@")),
      fc
        .tuple(fc.string({ unit: "grapheme", minLength: 1 }), fc.string({ unit: "grapheme", minLength: 1 }))
        .map(([local, domain]) => `${local}@${domain}.de`),
    );
    fc.assert(
      fc.property(anything, (text) => {
        const read = parseEmail(text);
        if ("problem" in read) return;
        expect(read.email).toBe(text.trim());
        expect(parseEmail(read.emailKey)).toEqual({ email: read.emailKey, emailKey: read.emailKey });
      }),
      { numRuns: 2000 },
    );
  });

  test("that grows in lower case is measured as it is compared", () => {
    expect(parseEmail("İJ\u030cȺ@example.com")).toHaveProperty("emailKey", "i\u0307\u01f0ⱥ@example.com");
    expect(parseEmail(`${"Ⱥ".repeat(32)}@example.com`)).toEqual(problem);
  });
});

describe("a user name", () => {
  test("is kept as it was typed, and compared in lower case", () => {
    expect(parseUsername(" Ada.Lovelace ")).toEqual({ username: "Ada.Lovelace", usernameKey: "ada.lovelace" });
  });

  test.each(["ada", "a-1", "A__b", "x".repeat(30), "007"])("may be %s", (text) => {
    expect(parseUsername(text)).toHaveProperty("usernameKey");
  });

  test.each(
    [
      "",
      "ab",
      "x".repeat(31),
      ".ada",
      "ada-",
      "ada..l",
      "ada l",
      "ada@example.com",
      "ädä",
      "аda",
      "\u212aarl",
      "ada\n",
      "ada\u0000x",
    ].filter((text) => text.trim() === text),
  )("is never %j", (text) => {
    expect(parseUsername(text)).toEqual(problem);
  });

  test.each(["admin", "Admin", "ad.min", "root", "SYSTEM", "me", "null", "authctl", "well-known", "no-reply"])(
    "is never %s, which is reserved",
    (text) => {
      expect(parseUsername(text)).toEqual(problem);
    },
  );

  test("is never taken for an id or an address", () => {
    fc.assert(fc.property(fc.oneof(fc.uuid(), fc.emailAddress()), (text) => "problem" in parseUsername(text)));
  });

  test("of any text is read without an exception, and its key is its own key", () => {
    fc.assert(
      fc.property(fc.oneof(fc.stringMatching(/^[A-Za-z0-9._-]{1,32}$/), fc.string({ unit: "binary" })), (text) => {
        const read = parseUsername(text);
        if ("problem" in read) return;
        expect(parseUsername(read.usernameKey)).toEqual({ username: read.usernameKey, usernameKey: read.usernameKey });
      }),
    );
  });
});

describe("a full name", () => {
  test.each(["Ada Lovelace", "O'Brien, Flann", "李小龍", "محمد بن سلمان", "👩‍💻 Ada", "X", "😀".repeat(200)])(
    "may be %s",
    (text) => {
      expect(parseFullName(`  ${text}  `)).toEqual({
        fullName: text,
        fullNameKey: text.normalize("NFKC").toLowerCase(),
      });
    },
  );

  test.each([
    "",
    "   ",
    "x".repeat(201),
    "Ada\nLovelace",
    "Ada\u0000",
    "Ada\u001b[31m",
    "Ada\u2028L",
    "\u202eadA",
    "A\u2066da",
    "A\ud800da",
  ])("is never %j", (text) => {
    expect(parseFullName(text)).toEqual(problem);
  });
});

describe("LI-1 what is typed at sign-in", () => {
  test("is looked up by address or by user name", () => {
    expect(identifierKey(" Ada@EXAMPLE.com ")).toEqual({ emailKey: "ada@example.com" });
    expect(identifierKey(" Ada ")).toEqual({ usernameKey: "ada" });
    expect(identifierKey("Admin")).toEqual({ usernameKey: "admin" });
  });

  test.each(["", "a", "not an address@", "x@y@z", "ada lovelace", "ada\u0000"])("names nobody: %j", (text) => {
    expect(identifierKey(text)).toBeUndefined();
  });

  test("has the key that registration would store", () => {
    fc.assert(
      fc.property(fc.emailAddress(), (text) => {
        const read = parseEmail(text);
        expect(identifierKey(text)).toEqual("problem" in read ? undefined : { emailKey: read.emailKey });
      }),
    );
  });
});

test("a text of 64 KiB is refused for its length, before anything else is looked at", () => {
  for (const unit of ["a", "@", ".", "a.", "é", "-", "\ud800"]) {
    const text = unit.repeat(65_536 / unit.length);
    expect(parseEmail(text)).toEqual({ problem: expect.stringContaining("longer than") });
    expect(parseUsername(text)).toEqual(problem);
    expect(parseFullName(text)).toEqual({ problem: "A name has at most 200 characters." });
    expect(identifierKey(text)).toBeUndefined();
  }
});
