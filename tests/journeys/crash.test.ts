/** SE-4: what was acknowledged holds, however the server dies. `KILLS=200` makes it a longer one. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { seededChance } from "../support/chance.ts";
import { dialect, rawSql } from "../support/database.ts";
import { killsOr, killSeed as seed } from "../support/kills.ts";
import { newTokens, statusOfMe } from "../support/people.ts";
import { spawnServer, startServer, type TestServer } from "../support/server.ts";
import { Witness } from "../support/witness.ts";

const rounds = killsOr(8);
/** A round takes less than half a second; a slow machine may take longer. */
const patience = 20_000 + rounds * 3_000;

const server = await startServer({ SQLITE_SYNCHRONOUS: "full" });
afterAll(server.end);

/** What is broken in the database itself. Of a Postgres, which has not crashed, nothing can be asked. */
const damage = async ({ env }: Pick<TestServer, "env">): Promise<unknown[]> =>
  dialect === "postgres"
    ? []
    : [
        ...(await rawSql({ env }, "PRAGMA foreign_key_check")),
        ...(await rawSql({ env }, "PRAGMA integrity_check")).filter((row) => row["integrity_check"] !== "ok"),
      ];

test(
  `SE-4 ${rounds} times kill -9 under writes: nothing that was acknowledged is lost`,
  async () => {
    const chance = seededChance(seed);
    const broken: string[] = [];
    const earlier: Witness[] = [];
    for (let round = 1; round <= rounds; round++) {
      const witnesses = Array.from({ length: 8 }, () => new Witness(server, seededChance(chance.below(2 ** 31))));
      const acting = Promise.all(witnesses.map((witness) => witness.act()));
      await Bun.sleep(20 + chance.below(400));
      await server.kill();
      await acting;
      await server.restart();
      expect(await damage(server)).toEqual([]);
      // Two of those who saw an earlier crash are asked again: it has to hold through the next ones too.
      const again = earlier.length > 0 ? [chance.pick(earlier), chance.pick(earlier)] : [];
      const found = await Promise.all([...witnesses, ...new Set(again)].map((witness) => witness.broken()));
      broken.push(...witnesses.flatMap(({ refusal }) => (refusal ? [`round ${round}: ${refusal.text}`] : [])));
      broken.push(...found.flat().map((what) => `round ${round}: ${what}`));
      earlier.push(...witnesses);
    }
    const acknowledged = earlier.reduce((sum, witness) => sum + witness.acknowledged, 0);
    console.log(`crash: seed ${seed}, ${rounds} kills, ${acknowledged} acknowledged answers, ${broken.length} broken`);
    expect(broken).toEqual([]);
    expect(acknowledged).toBeGreaterThan(rounds);
  },
  patience,
);

// Of what is made at the first start on Postgres, the schema comes from `authctl migrate up`.
if (dialect === "sqlite")
  test(
    "kill -9 during the first start leaves a directory that the next start makes good",
    async () => {
      const chance = seededChance(seed);
      for (let round = 0; round < Math.max(4, rounds / 4); round++) {
        const directory = mkdtempSync(join(tmpdir(), "authctl-first-crash-"));
        const child = spawnServer(directory, { DATA_DIR: directory, PORT: "0" });
        await Bun.sleep(20 + chance.below(200));
        child.kill("SIGKILL");
        await child.exited;
        const next = await startServer({ DATA_DIR: directory });
        expect(await statusOfMe(next, (await newTokens(next)).access_token)).toBe(200);
        expect(await damage(next)).toEqual([]);
        await next.end();
        rmSync(directory, { recursive: true, force: true });
      }
    },
    patience,
  );
