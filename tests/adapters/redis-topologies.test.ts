/** The other forms of REDIS_URL, each with real servers. */
import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLimiter } from "../../src/adapters/limiters.ts";
import { connectRedis } from "../../src/adapters/redis.ts";
import { createSessionCache } from "../../src/adapters/session-cache.ts";
import { systemClock } from "../../src/adapters/system.ts";
import { redisUrl } from "../../src/config/redis-url.ts";
import type { Log } from "../../src/core/core.ts";
import { freePort } from "../support/free-port.ts";
import { startRedis } from "../support/redis.ts";

const closing: Array<() => unknown> = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

const events: string[] = [];
const note = (event: string) => void events.push(event);
const log: Log = { debug: note, info: note, warn: note, error: note };

/** Counts, keeps and forgets by it. */
async function works(url: string): Promise<void> {
  events.length = 0;
  const link = await connectRedis(redisUrl(url), { clock: systemClock, log });
  closing.push(link.close);
  for (let waited = 0; waited < 100; waited++) {
    if (
      await link.ping().then(
        () => true,
        () => false,
      )
    )
      break;
    await Bun.sleep(50);
  }
  const quota = { most: 10, window: 60_000 };
  const quotas = { requests: quota, register: quota, refresh: quota };
  const limiter = createLimiter({ quotas, workers: 2, redis: link });
  const taken: boolean[] = [];
  for (let at = 0; at < 12; at++) taken.push((await limiter.take("requests", "a")).allowed);
  // Alone it would be five.
  expect(taken.filter(Boolean)).toHaveLength(10);
  const cache = createSessionCache(link, log);
  for (const id of ["a", "b", "c"]) await cache.keep(id, id, 5_000);
  await cache.forget(["a", "c"]);
  expect(await Promise.all(["a", "b", "c"].map((id) => cache.recall(id)))).toEqual([undefined, "b", undefined]);
  expect(events.filter((event) => event === "session_cache_not_told")).toEqual([]);
}

test("a cluster is asked at the node that has the key", async () => {
  // A node that has met no other does not know its own address.
  const words = ["--cluster-enabled", "yes", "--cluster-port", `${await freePort()}`];
  const redis = await startRedis({ words: [...words, "--cluster-announce-ip", "127.0.0.1"] });
  closing.push(redis.end);
  await redis.client.call("CLUSTER", "ADDSLOTSRANGE", "0", "16383");
  await works(redis.directUrl.replace("redis:", "redis+cluster:"));
});

test("sentinels are asked for the master", async () => {
  const redis = await startRedis({ password: "secret" });
  closing.push(redis.end);
  const directory = mkdtempSync(join(tmpdir(), "authctl-sentinel-"));
  closing.push(() => rmSync(directory, { recursive: true, force: true }));
  const port = await freePort();
  const file = join(directory, "sentinel.conf");
  const master = new URL(redis.directUrl).port;
  const lines = [`port ${port}`, "bind 127.0.0.1", `dir ${directory}`, `sentinel monitor main 127.0.0.1 ${master} 1`];
  writeFileSync(file, `${[...lines, "sentinel auth-pass main secret"].join("\n")}\n`);
  const child = Bun.spawn(["redis-server", file, "--sentinel"], { stdout: "ignore", stderr: "ignore" });
  closing.push(async () => {
    child.kill("SIGKILL");
    await child.exited;
  });
  await works(`redis+sentinel://:secret@127.0.0.1:${await freePort()},127.0.0.1:${port}/main/2`);
});

test("TLS is not a matter of taste: a certificate that nobody vouches for is refused", async () => {
  const directory = mkdtempSync(join(tmpdir(), "authctl-tls-"));
  closing.push(() => rmSync(directory, { recursive: true, force: true }));
  const [key, certificate] = [join(directory, "key.pem"), join(directory, "certificate.pem")];
  const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
  const making = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", ...subject];
  await Bun.spawn([...making, "-keyout", key, "-out", certificate], { stderr: "ignore" }).exited;
  const port = await freePort();
  const files = ["--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", certificate];
  const redis = await startRedis({ words: ["--tls-port", `${port}`, ...files, "--tls-auth-clients", "no"] });
  closing.push(redis.end);
  const link = await connectRedis(redisUrl(`rediss://localhost:${port}`), { clock: systemClock, log });
  closing.push(link.close);
  await expect(link.ping()).rejects.toThrow();

  const program = `
    import { connectRedis } from "${join(import.meta.dir, "../../src/adapters/redis.ts")}";
    import { systemClock } from "${join(import.meta.dir, "../../src/adapters/system.ts")}";
    import { redisUrl } from "${join(import.meta.dir, "../../src/config/redis-url.ts")}";
    const log = { debug() {}, info() {}, warn: console.log, error: console.log };
    const link = await connectRedis(redisUrl("rediss://localhost:${port}"), { clock: systemClock, log });
    await link.ping();
    link.close();`;
  const vouched = Bun.spawn([process.execPath, "-e", program], {
    env: { PATH: process.env["PATH"] ?? "", NODE_EXTRA_CA_CERTS: certificate },
    stdout: "pipe",
  });
  expect(await vouched.stdout.text()).toBe("");
  expect(await vouched.exited).toBe(0);
});
