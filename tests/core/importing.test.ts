import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { pbkdf2Sync, scryptSync } from "node:crypto";
import { importedId, recogniseSource } from "../../src/core/importing/candidates.ts";
import { parseHashConfig } from "../../src/core/importing/firebase.ts";
import { type RefusalReason, type SourceName, sourceNames } from "../../src/core/importing/foreign-user.ts";
import type { Imported, ImportOptions } from "../../src/core/importing.ts";
import { login } from "../../src/core/login.ts";
import { isCurrentHash, sealHash } from "../../src/core/passwords.ts";
import { changePassword } from "../../src/core/users/new-passwords.ts";
import { createUser, deleteOwnAccount, deleteUser, findUser } from "../../src/core/users.ts";
import { codeOf, goodPassword, openTestCore, root, type TestCore, visitor } from "../support/core.ts";
import { dump } from "../support/database.ts";
import {
  emailOf,
  firebaseConfig,
  foreignPassword,
  foreignUser,
  foreignUsers,
  hashConfig,
  importRecords,
} from "../support/foreign-users.ts";

let core: TestCore;
beforeEach(async () => {
  core = await openTestCore();
});
afterEach(() => core.close());

const signIn = (identifier: string, password = foreignPassword) =>
  login(core, visitor, { identifier, password, credential: "session" });
const fastapi = (changed: Record<string, unknown> = {}, at = 1) => ({
  ...foreignUser["fastapi-users"](at),
  ...changed,
});
const only = async (source: SourceName, record: unknown, options?: Partial<ImportOptions>): Promise<Imported> =>
  await importRecords(core, source, [record], options);
/** Why a record is refused; undefined where it is not. */
const refusal = async (source: SourceName, record: unknown, options?: Partial<ImportOptions>) => {
  const { refusals, refused } = await only(source, record, options);
  expect(Object.keys(refusals)).toHaveLength(refused);
  return Object.keys(refusals)[0] as RefusalReason | undefined;
};
const dropping = (...drop: Array<"names" | "hashes" | "roles">) => ({ drop: new Set(drop) });

describe.each([...sourceNames])("users of %s", (source) => {
  test("come over with what is known of them, and sign in with their passwords, once with the old hash", async () => {
    const before = core.clock.now();
    const done = await importRecords(core, source, foreignUsers(source, 3));
    const isKnowingAdmins = source !== "firebase";
    expect(done).toMatchObject({ rows: 3, imported: 3, refused: 0, already: 0, withoutPassword: 0, finished: true });
    expect(done.admins).toBe(isKnowingAdmins ? 1 : 0);
    for (const at of [0, 1]) {
      const { user, roles } = await findUser(core, emailOf(source, at));
      expect(user).toMatchObject({ fullName: `Person ${at}`, disabledAt: null, updatedAt: before });
      expect(user.createdAt).toEqual(new Date(Date.UTC(2024, 0, 1) + at * 1000));
      expect(user.emailVerifiedAt).toEqual(before);
      expect(roles).toEqual(at === 0 && isKnowingAdmins ? ["admin", "user"] : ["user"]);
      expect(isCurrentHash(core, user)).toBeFalse();
      expect(await codeOf(signIn(user.email, "a wrong password"))).toBe("invalid_credentials");
      expect((await signIn(user.email)).standing.user.id).toBe(user.id);
      expect(isCurrentHash(core, (await findUser(core, user.id)).user)).toBeTrue();
      await signIn(user.email);
    }
  });

  test("are recognised by their records", () => {
    expect(recogniseSource(foreignUser[source](0))).toBe(source);
  });

  test("are found again by a second run, whoever they have become since", async () => {
    await importRecords(core, source, foreignUsers(source, 3));
    await signIn(emailOf(source, 1));
    const before = await dump(core);
    const again = await importRecords(core, source, foreignUsers(source, 3));
    expect(again).toMatchObject({ rows: 3, imported: 0, already: 3, refused: 0, admins: 0 });
    expect(await dump(core)).toEqual(before);
  });

  test("are only looked at in a rehearsal, which tells the same", async () => {
    const before = await dump(core);
    const records = [...foreignUsers(source, 3), foreignUser[source](1), { ...foreignUser[source](5), email: "no" }];
    const rehearsed = await importRecords(core, source, records, { rehearsal: true });
    expect(await dump(core)).toEqual(before);
    expect(await importRecords(core, source, records)).toEqual(rehearsed);
    expect(rehearsed.refusals).toEqual({ duplicate: 1, invalid_email: 1 });
  });

  test("without a password, or disabled, are so here", async () => {
    const bare = {
      authctl: { password_hash: null, is_active: false },
      "fastapi-users": { hashed_password: "", is_active: false },
      supabase: { encrypted_password: "", banned_until: "2999-01-01 00:00:00+00" },
      "better-auth": { accounts: [{ providerId: "google", password: null }], banned: true },
      keycloak: { credentials: [], enabled: false },
      firebase: { passwordHash: undefined, disabled: true },
      auth0: { passwordHash: undefined, blocked: true },
    }[source];
    expect(await only(source, { ...foreignUser[source](1), ...bare })).toMatchObject({
      imported: 1,
      withoutPassword: 1,
    });
    const { user } = await findUser(core, emailOf(source, 1));
    expect(user).toMatchObject({ passwordHash: null, disabledAt: core.clock.now() });
    expect(await codeOf(signIn(user.email))).toBe("invalid_credentials");
  });
});

describe("a hash that was imported", () => {
  test("PW-6 proves the password wherever one is asked for, and gives way to ours", async () => {
    await importRecords(core, "fastapi-users", [fastapi({}, 1), fastapi({}, 2)]);
    for (const at of [1, 2]) {
      const { standing } = await signIn(emailOf("fastapi-users", at));
      // As though this session were older than the sign-in that replaced the hash.
      const { id } = standing.user;
      const passwordHash = sealHash(core, id, String(fastapi()["hashed_password"]));
      await core.store.write((tx) => tx.users.update(id, { passwordHash }));
      const by = {
        kind: "user",
        userId: id,
        session: standing.session,
        client: { ip: null, userAgent: null, requestId: null },
      } as const;
      if (at === 1) {
        await changePassword(core, by, foreignPassword, goodPassword);
        expect(isCurrentHash(core, (await findUser(core, id)).user)).toBeTrue();
      } else {
        expect(await codeOf(deleteOwnAccount(core, by, "wrong"))).toBe("invalid_credentials");
        await deleteOwnAccount(core, by, foreignPassword);
      }
    }
  });

  test("PW-7 is sealed for its user: no text of it is in the database", async () => {
    await importRecords(core, "fastapi-users", foreignUsers("fastapi-users", 2));
    expect(JSON.stringify(await dump(core))).not.toContain("$2b$");
  });

  test.each([
    ["$2b$15$abcdefghijklmnopqrstuuFiPhXf1sVd3pCCRO.uVh34H/qI/ZsuS", "costly_hash"],
    [
      "$argon2id$v=19$m=1048576,t=3,p=2$SFVpOWJ0eXhjRzVkdGN1RQ$RXnb8rh7LaDcn07xsssqqulZYXOM/EUCEFMVcAcyYVk",
      "costly_hash",
    ],
    ["$pbkdf2-sha256$99999999$c2FsdHkgc2FsdA$RXnb8rh7LaDcn07xsssqqulZYXOM/EUCEFMVcAcyYVk", "costly_hash"],
    ["$scrypt$ln=30,r=8,p=1$c2FsdHkgc2FsdA$RXnb8rh7LaDcn07xsssqqulZYXOM/EUCEFMVcAcyYVk", "costly_hash"],
    ["$argon2id$v=19$m=16,t=3,p=2$!!!!$RXnb8rh7LaDcn07xsssqqulZYXOM", "unsupported_hash"],
    ["5f4dcc3b5aa765d61d8327deb882cf99", "unsupported_hash"],
    ["hunter2", "unsupported_hash"],
  ] as const)(
    "PW-5 is refused at the import where it could stall a server, or nobody knows it: %s",
    async (hash, reason) => {
      expect(await refusal("fastapi-users", fastapi({ hashed_password: hash }))).toBe(reason);
      const done = await only("fastapi-users", fastapi({ hashed_password: hash }), dropping("hashes"));
      expect(done).toMatchObject({ imported: 1, withoutPassword: 1, without: { hashes: 1 } });
    },
  );

  test.each([
    ["pbkdf2", "sha1", 20],
    ["pbkdf2-sha512", "sha512", 64],
  ])("of Keycloak may be %s", async (algorithm, digest, length) => {
    const salt = Buffer.from("salt of keycloak");
    const value = pbkdf2Sync(foreignPassword, salt, 10, length, digest).toString("base64");
    const secretData = JSON.stringify({ value, salt: salt.toString("base64") });
    const credentialData = JSON.stringify({ hashIterations: 10, algorithm });
    await only("keycloak", {
      ...foreignUser.keycloak(1),
      credentials: [{ type: "password", secretData, credentialData }],
    });
    await signIn(emailOf("keycloak", 1));
  });

  test("of Keycloak may be argon2", async () => {
    const phc = await Bun.password.hash(foreignPassword, { algorithm: "argon2id", memoryCost: 16, timeCost: 2 });
    const [salt, value] = phc.split("$").slice(-2);
    const additionalParameters = {
      hashLength: ["32"],
      memory: ["16"],
      type: ["id"],
      version: ["1.3"],
      parallelism: ["1"],
    };
    const credentialData = JSON.stringify({ hashIterations: 2, algorithm: "argon2", additionalParameters });
    const secretData = JSON.stringify({ value: `${value}=`, salt: `${salt}=`, additionalParameters: {} });
    await only("keycloak", {
      ...foreignUser.keycloak(1),
      credentials: [{ type: "password", secretData, credentialData }],
    });
    await signIn(emailOf("keycloak", 1));
  });

  test("of a FastAPI application may be passlib's PBKDF2", async () => {
    const adapted = (bytes: Buffer) => bytes.toString("base64").replaceAll("+", ".").replace(/=+$/, "");
    const salt = Buffer.from([255, 239, 190, 1, 2, 3, 4, 5]);
    const hash = adapted(pbkdf2Sync(foreignPassword, salt, 29, 32, "sha256"));
    await only("fastapi-users", fastapi({ hashed_password: `$pbkdf2-sha256$29$${adapted(salt)}$${hash}` }));
    await signIn(emailOf("fastapi-users", 1));
  });

  test("of Auth0's bulk import may be scrypt, and no bare digest", async () => {
    const key = scryptSync(foreignPassword, "pepper-like", 64, { N: 16, r: 8, p: 1 }).toString("hex");
    const custom = {
      algorithm: "scrypt",
      hash: { value: key, encoding: "hex" },
      salt: { value: "pepper-like", encoding: "utf8" },
      keylen: 64,
      cost: 16,
      blockSize: 8,
      parallelization: 1,
    };
    const record = (custom_password_hash: object) => ({
      ...foreignUser.auth0(1),
      passwordHash: null,
      custom_password_hash,
    });
    await only("auth0", record(custom));
    await signIn(emailOf("auth0", 1));
    const md5 = { algorithm: "md5", hash: { value: "5f4dcc3b5aa765d61d8327deb882cf99", encoding: "hex" } };
    expect(await refusal("auth0", { ...record(md5), _id: { $oid: "other" }, email: "other@example.com" })).toBe(
      "unsupported_hash",
    );
  });
});

describe("the parameters of a Firebase project", () => {
  test("are read as the console shows them, and as JSON", () => {
    expect(parseHashConfig(hashConfig)).toEqual(firebaseConfig);
    const json = {
      algorithm: "SCRYPT",
      base64_signer_key: firebaseConfig.signerKey,
      base64_salt_separator: "Bw==",
      rounds: 8,
      mem_cost: 4,
    };
    expect(parseHashConfig(JSON.stringify({ hash_config: json }, undefined, 2))).toEqual(firebaseConfig);
  });

  test.each(["", "{}", "hash_config {}", "rounds: 8, mem_cost: 14", hashConfig.replace(/rounds: 8/, "rounds: many")])(
    "are not made up: %p",
    (text) => {
      expect(parseHashConfig(text)).toBeUndefined();
    },
  );

  test("are needed for the passwords alone", async () => {
    const without = { firebase: undefined };
    expect(await refusal("firebase", foreignUser.firebase(1), without)).toBe("unsupported_hash");
    expect(await refusal("firebase", { ...foreignUser.firebase(2), passwordHash: null }, without)).toBeUndefined();
    const done = await only("firebase", foreignUser.firebase(1), { ...without, ...dropping("hashes") });
    expect(done).toMatchObject({ imported: 1, withoutPassword: 1 });
  });
});

describe("a row is refused", () => {
  test.each<[RefusalReason, Record<string, unknown>]>([
    ["no_email", { email: null }],
    ["no_email", { email: "" }],
    ["invalid_email", { email: "ada" }],
    ["invalid_email", { email: "ada@example.com, eve@example.com" }],
    ["unfit_member", { email: ["ada@example.com"] }],
    ["unfit_member", { full_name: "A\0B" }],
    ["unfit_member", { full_name: "not \ufffd UTF-8" }],
    ["unfit_member", { full_name: "half \ud83d" }],
    ["unfit_member", { full_name: { first: "Ada" } }],
    ["unfit_member", { is_active: "perhaps" }],
    ["unfit_member", { created_at: "yesterday" }],
    ["unfit_member", { created_at: "0001-01-01" }],
    ["unfit_member", { created_at: 1e300 }],
    ["unfit_member", { roles: [1] }],
    ["invalid_username", { username: "admin" }],
    ["invalid_username", { username: "x" }],
    ["invalid_full_name", { full_name: "two\nlines" }],
  ])("as %s where it holds %p", async (reason, changed) => {
    expect(await refusal("fastapi-users", fastapi(changed))).toBe(reason);
  });

  test.each([[null], [5], ["text"], [[]], [[{}]]])("where it is no object: %p", async (value) => {
    expect(await refusal("fastapi-users", value)).toBe("unreadable");
  });

  test("where a text is longer than any that is meant", async () => {
    expect(await refusal("fastapi-users", fastapi({ email: `${"a".repeat(10_000)}@example.com` }))).toBe(
      "unfit_member",
    );
  });

  test("where the user was deleted there", async () => {
    expect(await refusal("supabase", { ...foreignUser.supabase(1), deleted_at: "2024-05-01T00:00:00Z" })).toBe(
      "deleted",
    );
  });

  test("where somebody here has the address or the user name", async () => {
    await createUser(core, root, { email: emailOf("fastapi-users", 1), username: "person.2" });
    const { refusals, imported } = await importRecords(core, "fastapi-users", foreignUsers("fastapi-users", 4));
    expect({ refusals, imported }).toEqual({ refusals: { email_taken: 1, username_taken: 1 }, imported: 2 });
  });

  test("where an earlier one has a name of it, in the same batch and in another", async () => {
    const many = foreignUsers("fastapi-users", 600);
    const twice = (at: number, changed: object) => ({
      ...many[at],
      id: `other ${at}`,
      email: `other-${at}@example.com`,
      username: `other.${at}`,
      ...changed,
    });
    const records = [
      ...many,
      twice(1, { email: "FASTAPI-USERS-1@EXAMPLE.COM" }),
      twice(599, { username: "PERSON.599" }),
      { ...twice(2, {}), id: 3 },
    ];
    const told: number[] = [];
    const done = await importRecords(core, "fastapi-users", records, { onRefusal: ({ line }) => told.push(line) });
    expect(done).toMatchObject({ imported: 600, refusals: { duplicate: 3 } });
    expect(told).toEqual([601, 602, 603]);
    expect(await importRecords(core, "fastapi-users", records)).toMatchObject({
      already: 600,
      refusals: { duplicate: 3 },
    });
  });

  test("but for the names that are to be dropped where they cannot be kept", async () => {
    const done = await only("fastapi-users", fastapi({ username: "root", full_name: "a\tb" }), dropping("names"));
    expect(done).toMatchObject({ imported: 1, without: { names: 1 } });
    expect((await findUser(core, emailOf("fastapi-users", 1))).user).toMatchObject({ username: null, fullName: null });
  });

  test("and changes no prototype", async () => {
    const hostile: unknown = JSON.parse(
      `{"__proto__":{"email":"eve@example.com","is_superuser":true},"constructor":1,"id":7}`,
    );
    expect(await refusal("fastapi-users", hostile)).toBe("no_email");
    expect(Object.hasOwn(Object.prototype, "is_superuser")).toBeFalse();
  });
});

describe("roles", () => {
  const rolesOf = async (at: number) => (await findUser(core, emailOf("fastapi-users", at))).roles;

  test("that there are here are kept, others are counted and left out", async () => {
    const done = await only("fastapi-users", fastapi({ roles: ["guest", "editor"] }));
    expect(done).toMatchObject({ imported: 1, without: { roles: 1 } });
    expect(await rolesOf(1)).toEqual(["guest", "user"]);
  });

  test("are called as the map says", async () => {
    const rolesMap = new Map([
      ["editor", "guest"],
      ["boss", "admin"],
    ]);
    const done = await only("fastapi-users", fastapi({ roles: "editor, boss" }), { rolesMap });
    expect(done).toMatchObject({ admins: 1, without: { roles: 0 } });
    expect(await rolesOf(1)).toEqual(["admin", "guest", "user"]);
  });

  test("of our own export are all there, or the row is refused", async () => {
    const record = { ...foreignUser.authctl(1), roles: ["editor", "guest"] };
    expect(await refusal("authctl", record)).toBe("unknown_role");
    expect(await only("authctl", record, dropping("roles"))).toMatchObject({ imported: 1, without: { roles: 1 } });
    expect((await findUser(core, emailOf("authctl", 1))).roles).toEqual(["guest"]);
  });

  test("never come from what users write themselves", async () => {
    await importRecords(core, "supabase", foreignUsers("supabase", 2));
    await importRecords(core, "auth0", foreignUsers("auth0", 2));
    for (const email of [emailOf("supabase", 1), emailOf("auth0", 1)]) {
      expect((await findUser(core, email)).roles).toEqual(["user"]);
    }
  });
});

describe("an id", () => {
  test("is of the time of the making there, and the same every time", () => {
    const at = new Date("2024-01-31T12:00:00Z");
    const id = importedId("keycloak", "7", at);
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(Number.parseInt(id.replace("-", "").slice(0, 12), 16)).toBe(at.getTime());
    expect(importedId("keycloak", "7", at)).toBe(id);
    for (const other of [
      importedId("auth0", "7", at),
      importedId("keycloak", "8", at),
      importedId("keycloak", "7", null),
    ]) {
      expect(other).not.toBe(id);
    }
  });

  test("that is a UUIDv7 stays as it is", () => {
    const id = "018CC251-F400-7000-8000-000000000001";
    expect(importedId("authctl", id, new Date(0))).toBe(id.toLowerCase());
  });

  test("is made of the address where the other system has none", async () => {
    const record = fastapi({ id: undefined });
    await only("fastapi-users", record);
    expect(await only("fastapi-users", record)).toMatchObject({ already: 1 });
  });
});

describe("a run", () => {
  test("goes on where an interrupted one ended", async () => {
    const stop = new AbortController();
    const records = foreignUsers("fastapi-users", 1200);
    const first = await importRecords(core, "fastapi-users", records, {
      interrupted: stop.signal,
      onRows: () => stop.abort(),
    });
    expect(first).toMatchObject({ rows: 500, imported: 500, finished: false });
    const second = await importRecords(core, "fastapi-users", records);
    expect(second).toMatchObject({ imported: 700, already: 500, finished: true });
  });

  test("brings nobody back who was deleted here and can still be restored", async () => {
    await only("fastapi-users", fastapi());
    const { user, roles } = await findUser(core, emailOf("fastapi-users", 1));
    await deleteUser(core, root, user.id);
    const { epoch: _, revision: __, updatedAt: ___, ...person } = user;
    await core.store.write(async (tx) => {
      if ((await tx.userBatches.held([user])).ids.size === 0) {
        await tx.contents.insert("tombstones", [{ ...person, roles, deletedAt: core.clock.now() }]);
      }
    });
    expect(await only("fastapi-users", fastapi())).toMatchObject({ imported: 0, already: 1 });
    expect(await codeOf(findUser(core, user.id))).toBe("not_found");
  });

  test("is one at a time; the next finds the lock free", async () => {
    const release = await core.store.lock("import");
    expect(await codeOf(only("fastapi-users", fastapi()))).toBe("lock_held");
    await release?.();
    expect(await only("fastapi-users", fastapi())).toMatchObject({ imported: 1 });
  });

  test("leaves a record of each batch, of numbers alone", async () => {
    await importRecords(core, "fastapi-users", foreignUsers("fastapi-users", 501));
    const events = await core.store.auditEvents.page({}, 9);
    const imports = events.filter(({ action }) => action === "users.imported");
    expect(
      imports
        .map(({ particulars }) => particulars)
        .toSorted((one, other) => Number(other?.["users"]) - Number(one?.["users"])),
    ).toEqual([
      { source: "fastapi-users", users: 500, admins: 1 },
      { source: "fastapi-users", users: 1, admins: 0 },
    ]);
    expect(imports[0]).toMatchObject({ actorKind: "operator" });
  });

  test("against twenty others for the same addresses: each is somebody's once, and nothing is half done", async () => {
    const records = foreignUsers("fastapi-users", 20);
    const racing = records.map((_, at) => codeOf(createUser(core, root, { email: emailOf("fastapi-users", at) })));
    const [done, ...codes] = await Promise.all([importRecords(core, "fastapi-users", records), ...racing]);
    const made = codes.filter((code) => code === undefined).length;
    expect(done.imported + made).toBe(20);
    expect(done.imported + (done.refusals.email_taken ?? 0)).toBe(20);
    for (const at of records.keys())
      expect((await findUser(core, emailOf("fastapi-users", at))).roles).toContain("user");
  });
});
