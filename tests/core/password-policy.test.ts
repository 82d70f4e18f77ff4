import { describe, expect, test } from "bun:test";
import { dictionary } from "@zxcvbn-ts/language-common";
import * as fc from "fast-check";
import { DomainError } from "../../src/core/errors.ts";
import { checkPassword, maxPasswordBytes, normalizePassword } from "../../src/core/passwords/password-policy.ts";

const words = ["Alice.Smith99@wonder-land.example", "alice_w", "Alice Liddell Smith"];

async function refusal(password: string, minLength = 15, path = "password"): Promise<DomainError | undefined> {
  try {
    await checkPassword(password, { minLength, words, path });
    return undefined;
  } catch (error) {
    if (error instanceof DomainError) return error;
    throw error;
  }
}

const reasons = async (password: string, minLength?: number) =>
  ((await refusal(password, minLength))?.errors ?? []).map((one) => one.message);

const tooShort = expect.stringContaining("long; ");
const tooLong = expect.stringContaining("It is too long");
const untypable = expect.stringContaining("cannot be typed");
const common = expect.stringContaining("It is a common password");
const personal = expect.stringContaining("It is little more than a name or address");
const foretold = expect.stringContaining("It runs along the keyboard");
const repeated = expect.stringContaining("It repeats a part");

describe("the length (PW-2)", () => {
  test("is counted in code points, so that an emoji counts once", async () => {
    expect(await reasons("🐈🦊🐻🐼🐨🐯🦁🐮🐷🐸🐵🐔🐧🐦")).toContainEqual(
      "It is 14 characters long; 15 or more would do.",
    );
    expect(await reasons("🐈🦊🐻🐼🐨🐯🦁🐮🐷🐸🐵🐔🐧🐦🐙")).toEqual([]);
  });

  test("is the same however the keyboard composes its accents", async () => {
    const text = "Ærøskøbing på Ærø";
    expect(await reasons(text.normalize("NFD"))).toEqual(await reasons(text.normalize("NFC")));
  });

  test("has the least value that the setting says", async () => {
    expect(await reasons("k9#Lm2xQ", 8)).toEqual([]);
    expect(await reasons("k9#Lm2x", 8)).toEqual([tooShort]);
    expect(await reasons("")).toContainEqual("It is 0 characters long; 15 or more would do.");
    expect(await reasons("k")).toContainEqual("It is 1 character long; 15 or more would do.");
  });

  test("ends at 256 code points and at 1024 bytes", async () => {
    const sentence = Array.from({ length: 64 }, (_, at) => String.fromCodePoint(0x1f300 + ((at * 37) % 251))).join("");
    expect(Buffer.byteLength(sentence)).toBe(256);
    expect(await reasons(sentence.repeat(4))).not.toContainEqual(tooLong);
    expect(await reasons(`${sentence.repeat(4)}a`)).toEqual([tooLong]);
    expect(await reasons("correct horse battery ".repeat(12))).toEqual([tooLong]);
  });

  test("is also that of the normalised text, which one character can make eighteen times longer", async () => {
    expect(await reasons("\ufdfa".repeat(20))).toEqual([tooLong]);
  });

  test("is looked at before anything else: of a huge text no other work is done", async () => {
    for (const text of ["a", "é", "\ud800", "\u0000", "password", "alice_w "]) {
      expect(await reasons(text.repeat(65_536 / text.length))).toEqual([tooLong]);
    }
  });
});

describe("the characters (PW-2)", () => {
  test("may be any that can be typed, spaces too, with no rule of composition", async () => {
    expect(await reasons("  only small letters and blanks  ")).toEqual([]);
    expect(await reasons("日本語のパスワードは長いほうがいいです")).toEqual([]);
    expect(await reasons("482913765012349")).toEqual([]);
  });

  test.each(["\u0000", "\n", "\u001b", "\u0085", "\ud800"])("are never %j", async (character) => {
    expect(await reasons(`correct horse${character} battery staple`)).toEqual([untypable]);
  });
});

describe("what is guessed first is refused (PW-3)", () => {
  test.each([
    "qwertyuiop12345",
    "Qwertyuiop12345",
    "123456789987654321!",
    "P@ssw0rd12345678",
    "password!!!!!!!!",
    "...passWORD 2024",
    "pássword19451945",
    "p.a.s.s.w.o.r.d",
    "Password1Password2",
    "passwordqwerty12",
    "1l0v3y0u20240101",
    "dragon9182736450",
  ])("a common one, or one with little added: %s", async (password) => {
    expect(await reasons(password)).toContainEqual(common);
  });

  test.each([
    "alice.smith99@wonder-land.example",
    "ALICE.SMITH99@wonder-land.example!",
    "Alice.Smith99!!!!",
    "wonder-land.example",
    "alice_w192837465",
    "4l1c3_w!?!?!?!?!",
    "smith-19820517-!",
    "AliceLiddell2024",
    "Liddell Password",
    "authctlauthctl17",
    "Authctl-91827364",
  ])("a name of the account or the product: %s", async (password) => {
    expect(await reasons(password)).toContainEqual(personal);
  });

  test.each([
    "123456789012345",
    "98765432109876543210",
    "abcdefghijklmnop",
    "zyxwvutsrqponmlk",
    "qwertyuiopasdfgh",
    "qwertzuiopasdfgh",
    "1qaz2wsx3edc4rfv",
    "1q2w3e4r5t6y7u8i",
    "!@#$%^&*()_+!@#$",
    "1122334455667788",
    "12345678901234a",
    "йцукенгшщзхъфыва",
    "aaaaaaaaaaaaaaa",
  ])("a walk along keys, letters or digits: %s", async (password) => {
    expect(await reasons(password)).toContainEqual(foretold);
  });

  test.each(["abcabcabcabcabc", "passwordpassword1", "tulip tulip tulip", "x7$kQ2mzx7$kQ2mz", "!!tulptulptulptulp!!"])(
    "one part over and over: %s",
    async (password) => {
      expect(await reasons(password)).toContainEqual(repeated);
    },
  );

  test("where an operator allows 8 characters too", async () => {
    expect(await reasons("Dragon12", 8)).toContainEqual(common);
    expect(await reasons("authctl1", 8)).toContainEqual(personal);
    expect(await reasons("abcd1234", 8)).toContainEqual(foretold);
    expect(await reasons("k9#Mk9#M", 8)).toEqual([repeated]);
    expect(await reasons("k9#Mw3%T", 8)).toEqual([]);
  });
});

describe("what is hard to guess is accepted", () => {
  test.each([
    "correct horse battery staple",
    "correcthorsebattery",
    "My dog ate 3 of the neighbours' tulips!",
    "the quick brown fox and alice_w went out to see a wonder-land of many small green things near the old river",
    "I saw Alice Smith near the harbour",
    "my password is a line from a book",
    "sunny tiger lamp 42",
    "x7$kQ2mzW9!pLr4t",
    "9f86d081-884c-7d65-9a2f-eaa0c55ad015",
  ])("%s", async (password) => {
    expect(await reasons(password)).toEqual([]);
  });

  test("any 20 random printable characters", async () => {
    const printable = fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code));
    // Uniform chance: fast-check would otherwise prefer runs of equal characters, which are weak indeed.
    const password = fc
      .noBias(fc.array(printable, { minLength: 20, maxLength: 20, size: "max" }))
      .map((all) => all.join(""));
    await fc.assert(
      fc.asyncProperty(password, async (text) => (await reasons(text)).length === 0),
      { numRuns: 2000 },
    );
  });

  test("any four random words of a diceware list", async () => {
    const word = fc.constantFrom(...dictionary["diceware-common"].filter((one) => one.length >= 4));
    const phrase = fc.noBias(fc.uniqueArray(word, { minLength: 4, maxLength: 4 })).map((all) => all.join(" "));
    await fc.assert(
      fc.asyncProperty(phrase, async (text) => (await reasons(text)).length === 0),
      { numRuns: 1000 },
    );
  });
});

describe("a refusal", () => {
  test("lists every reason, says what would do, and blames the member that the caller names", async () => {
    const error = await refusal("passpass", 15, "new_password");
    expect(error?.code).toBe("weak_password");
    expect(error?.errors).toEqual([
      { path: "new_password", message: "It is 8 characters long; 15 or more would do." },
      { path: "new_password", message: common },
      { path: "new_password", message: expect.stringContaining("It repeats a part of 4 characters; 15 or more") },
    ]);
    expect(error?.detail).toEndWith("Several unrelated words make a good password.");
    expect((await refusal("short"))?.errors?.[0]?.path).toBe("password");
  });

  test("never repeats the password or what it was compared with", async () => {
    const error = await refusal("Alice.Smith99!!!!");
    expect(JSON.stringify([error?.detail, error?.errors]).toLowerCase()).not.toMatch(/alice|smith|wonder/);
  });

  test("is the only thing that any text can cause", async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: "binary", maxLength: 300 }), async (text) => {
        const error = await refusal(text);
        expect(error === undefined || error.code === "weak_password").toBeTrue();
      }),
    );
  });
});

test("an account without names is compared with the product's alone", async () => {
  await checkPassword("harbour fog and tea", { minLength: 15, words: [null, undefined, "", "a", " @ "] });
});

test("the composed and the decomposed form of a text normalise to the same", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), (text) => {
      expect(normalizePassword(text.normalize("NFD"))).toBe(normalizePassword(text.normalize("NFC")));
    }),
  );
});

test("the list of common passwords is large, and folded as it comes", () => {
  const list = dictionary["passwords-common"];
  expect(list.length).toBeGreaterThan(10_000);
  expect(list.filter((one) => one !== one.toLowerCase() || /[^\u0020-\u007e]/.test(one))).toEqual([]);
  expect(maxPasswordBytes).toBe(1024);
});

describe("where variants are let pass", () => {
  const isRefused = async (password: string): Promise<boolean> =>
    await checkPassword(password, { minLength: 8, words, exact: true }).then(
      () => false,
      () => true,
    );

  test.each(["testpassword123", "securepassword123", "!!passw0rd-2024!!"])("%s is taken", async (password) => {
    expect(await isRefused(password)).toBe(false);
  });

  test.each(["password123", "Sunshine", "alice.smith99@wonder-land.example", "abcdefghijklmnop", "tulip tulip tulip"])(
    "%s is refused all the same",
    async (password) => {
      expect(await isRefused(password)).toBe(true);
    },
  );
});
