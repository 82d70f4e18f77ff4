import { expect, test } from "bun:test";
import { anonymous } from "../../src/core/actors.ts";
import { login } from "../../src/core/login.ts";
import { Shell } from "../support/cli.ts";
import { codeOf, firefox, goodPassword } from "../support/core.ts";

type Counted = { limit: string; together_with: string | null; spent: number; most: number; ends_at: string };

test("limit shows what a stranger has spent of an account, and forgets it", async () => {
  using shell = new Shell();
  await shell.run("init");
  await shell.run("user create --email ada@example.com --password-stdin", { input: goodPassword });
  const signIn = (password: string) =>
    shell.core((core) =>
      codeOf(login(core, anonymous(firefox), { identifier: "ada@example.com", password, credential: "session" })),
    );
  for (let done = 0; done < 10; done++) await signIn("not the password at all");
  expect(await signIn(goodPassword)).toBe("rate_limited");

  const counted = await shell.json<Counted[]>("limit show ada@example.com");
  expect(counted).toMatchObject([
    { limit: "sign_in_account", together_with: null, spent: 10, most: 10 },
    { limit: "sign_in_pair", together_with: "192.0.2.7", spent: 10, most: 10 },
  ]);
  expect(Date.parse(counted[0]?.ends_at ?? "")).toBeGreaterThan(Date.now());
  expect(await shell.json<Counted[]>("limit show 192.0.2.7")).toMatchObject([{ limit: "sign_in_address", spent: 10 }]);

  expect(await shell.json<Counted[]>("limit reset ada@example.com --limit sign_in_pair")).toEqual(counted.slice(1));
  expect(await shell.json<Counted[]>("limit reset ada@example.com")).toEqual(counted.slice(0, 1));
  expect(await signIn(goodPassword)).toBeUndefined();
  expect(await shell.json<Counted[]>("limit show 192.0.2.7")).toHaveLength(1);

  const again = await shell.run("limit reset ada@example.com");
  expect([again.code, again.stderr]).toEqual([0, "Nothing was counted.\n"]);
  expect((await shell.run("limit show nobody@example.com")).code).toBe(3);
  expect((await shell.run("limit show ada@example.com --limit requests")).code).toBe(2);
}, 30_000);
