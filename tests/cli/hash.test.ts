import { describe, expect, test } from "bun:test";
import { type Cost, calibrate, floor } from "../../src/core/passwords/calibration.ts";
import { person, Shell } from "../support/cli.ts";

/** A machine whose hash takes as long as it occupies memory, so many milliseconds for a pass over a MiB. */
const machine = (speed: number) => {
  const tried: Cost[] = [];
  const measure = async (cost: Cost): Promise<number> => {
    tried.push(cost);
    return Math.round((cost.memory / 1024) * cost.passes * speed);
  };
  return { tried, measure };
};

describe("hash calibrate", () => {
  test("takes as much memory as the target allows, then passes, and stops at the first that takes longer", async () => {
    const { measure, tried } = machine(1);
    const { recommended, measured } = await calibrate({ target: 200, mostMemory: 131_072 }, measure);
    expect(recommended).toMatchObject({ passes: 2 });
    expect(recommended.memory).toBeGreaterThan(60_000);
    expect(recommended.milliseconds).toBeLessThanOrEqual(200);
    expect(measured.at(-1)!.milliseconds).toBeGreaterThan(200);
    expect(measured).toHaveLength(tried.length);
    const fast = await calibrate({ target: 200, mostMemory: 32_768 }, machine(0.5).measure);
    expect(fast.recommended.memory).toBeLessThanOrEqual(32_768);
    expect(fast.recommended.passes).toBeGreaterThan(2);
  });

  test("PW-1 never goes below the floor, and never beyond what a stored hash is read with", async () => {
    expect((await calibrate({ target: 1, mostMemory: 131_072 }, machine(100).measure)).recommended).toMatchObject(
      floor,
    );
    expect((await calibrate({ target: 1e9, mostMemory: 262_144 }, machine(0.001).measure)).recommended).toMatchObject({
      passes: 10,
    });
  });

  test("prints lines of settings, and nothing else on standard output", async () => {
    using shell = new Shell();
    const ran = await shell.run("hash calibrate --target 1ms --max-memory 19456");
    expect(ran).toMatchObject({ code: 0, stdout: "ARGON2_MEMORY_KIB=19456\nARGON2_TIME_COST=2\n" });
    expect(ran.stderr).toContain("warning: A hash takes longer than the target");
    expect(await shell.json("hash calibrate --target 1ms")).toMatchObject({ recommended: floor, measured: [floor] });
  });
});

describe("hash report", () => {
  test("counts by algorithm and parameters, and tells what is current, without any hash", async () => {
    using shell = new Shell();
    await shell.core(async (core) => {
      for (const name of ["ada", "bob", "cay"]) await person(core, `${name}@example.com`);
    });
    const users = [
      `{"email":"dee@example.com","hashed_password":"$2b$10$${"a".repeat(53)}"}`,
      `{"email":"eve@example.com"}`,
    ].join("\n");
    const imported = await shell.run("user import - --from fastapi-users --format ndjson", { input: users });
    expect(imported.stderr).not.toContain("error:");
    const stronger = { env: { ARGON2_TIME_COST: "3" } };
    expect(await shell.json("hash report")).toEqual([
      { scheme: "argon2id", parameters: "m=8,t=1,p=1", users: 3, current: true },
      { scheme: "bcrypt", parameters: "cost=10", users: 1, current: false },
      { scheme: "none", parameters: "", users: 1, current: true },
    ] as never);
    const later = await shell.run("hash report", stronger);
    expect(later.stdout).toBe("argon2id\tm=8,t=1,p=1\t3\tfalse\nbcrypt\tcost=10\t1\tfalse\nnone\t\t1\ttrue\n");
  });
});
