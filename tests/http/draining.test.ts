import { describe, expect, test } from "bun:test";
import { createDrain, type Drain } from "../../src/http/draining.ts";
import { createTestClock } from "../support/clock.ts";

const patience = 5_000;

/** A server's leave, of which the test is the time and whoever sends requests. */
function leaving() {
  const clock = createTestClock();
  const drain: Drain = createDrain(clock);
  const ask = async (path: string): Promise<Response> => {
    const request = new Request(`http://localhost${path}`);
    return (await drain.around(() => Promise.resolve(new Response("")), request)(request)) as Response;
  };
  /** Lets time pass, and those who wait for it go on. */
  const pass = async (milliseconds: number): Promise<void> => {
    for (let passed = 0; passed < milliseconds; passed += 20) {
      clock.advance(20);
      for (let turn = 0; turn < 3; turn++) await Promise.resolve();
    }
  };
  let gone = false;
  const begin = (): void => void drain.begin(patience).then(() => (gone = true));
  return { ask, pass, begin, isGone: () => gone, drain };
}

describe("a server that is asked to stop", () => {
  test("goes when nobody has asked for anything for half a second", async () => {
    const { begin, pass, isGone, drain } = leaving();
    expect(drain.isDraining()).toBeFalse();
    begin();
    expect(drain.isDraining()).toBeTrue();
    await pass(480);
    expect(isGone()).toBeFalse();
    await pass(60);
    expect(isGone()).toBeTrue();
  });

  test("stays while requests come, but no longer than it may", async () => {
    const { ask, begin, pass, isGone } = leaving();
    begin();
    for (let waited = 0; waited < patience - 400; waited += 400) {
      await ask("/api/v1/users/me");
      await pass(400);
      expect(isGone()).toBeFalse();
    }
    await pass(500);
    expect(isGone()).toBeTrue();
  });

  test("closes each connection after its answer, and none before it was asked to stop", async () => {
    const { ask, begin } = leaving();
    expect((await ask("/api/v1/users/me")).headers.get("connection")).toBeNull();
    begin();
    expect((await ask("/api/v1/users/me")).headers.get("connection")).toBe("close");
  });

  test("waits for the next question of who asks regularly, and for nobody who has ceased to", async () => {
    const { ask, begin, pass, isGone } = leaving();
    for (let probe = 0; probe < 3; probe++) {
      await ask("/readyz");
      await pass(1_000);
    }
    begin();
    await pass(600);
    // The next one is half a second late: nobody waits for it any more.
    expect(isGone()).toBeTrue();

    const other = leaving();
    for (let probe = 0; probe < 3; probe++) {
      await other.pass(2_000);
      await other.ask("/readyz");
    }
    other.begin();
    await other.pass(1_900);
    expect(other.isGone()).toBeFalse();
    await other.ask("/readyz");
    await other.pass(40);
    expect(other.isGone()).toBeTrue();
  });

  test("is not kept by who only asks how it is", async () => {
    const { ask, begin, pass, isGone } = leaving();
    begin();
    for (let probe = 0; probe < 6; probe++) {
      for (const path of ["/livez", "/readyz", "/health"]) await ask(path);
      await pass(100);
    }
    expect(isGone()).toBeTrue();
  });
});
