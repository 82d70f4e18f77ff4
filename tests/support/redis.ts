/** A Redis of one's own: a private one, that can be stopped, started again at the same place, flushed and slowed down. */
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { freePort } from "./free-port.ts";
import { redisProgram } from "./services.ts";

export type TestRedis = {
  /** Through the wire that can be slowed down. */
  readonly url: string;
  /** Past the wire. */
  readonly directUrl: string;
  /** Asks it directly, whatever the wire does. */
  readonly client: Redis;
  /** How long each answer takes from now on, in milliseconds. */
  slow(milliseconds: number): void;
  /** Gone at once, with everything that it held. */
  kill(): Promise<void>;
  start(): Promise<void>;
  end(): Promise<void>;
};

type Options = { readonly password?: string; readonly words?: readonly string[] };

/** @param options.words more of them for the server's command line */
export async function startRedis({ password, words: more = [] }: Options = {}): Promise<TestRedis> {
  const directory = mkdtempSync(join(tmpdir(), "authctl-redis-"));
  // The program looks at the name that it is called by, and Debian knows the same one by two.
  const program = join(directory, "redis-server");
  symlinkSync(await redisProgram(), program);
  const port = await freePort();
  const wire = await slowWire(port);
  const retries = { lazyConnect: true, retryStrategy: () => 20, maxRetriesPerRequest: null };
  const client = new Redis({ port, ...(password && { password }), ...retries });
  client.on("error", () => {});
  let child: Bun.Subprocess | undefined;

  const redis: TestRedis = {
    url: `redis://127.0.0.1:${wire.port}`,
    directUrl: `redis://127.0.0.1:${port}`,
    client,
    slow: wire.slow,
    async kill() {
      child?.kill("SIGKILL");
      await child?.exited;
      wire.cut();
    },
    async start() {
      const words = [
        "--port",
        `${port}`,
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--appendonly",
        "no",
        "--dir",
        directory,
      ];
      child = Bun.spawn([program, ...words, ...(password ? ["--requirepass", password] : []), ...more], {
        stdin: "ignore",
        stdout: "ignore",
        stderr: "ignore",
      });
      await client.ping();
    },
    async end() {
      client.disconnect();
      await redis.kill();
      wire.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
  await redis.start();
  return redis;
}

/** Passes everything on, answers as late as it is told to. */
async function slowWire(target: number) {
  let delay = 0;
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(target, "127.0.0.1");
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(one);
      one.on("error", () => other.destroy());
      one.on("close", () => {
        sockets.delete(one);
        other.destroy();
      });
    }
    near.on("data", (data) => void far.write(data));
    far.on("data", (data) => {
      const pass = () => void near.write(data);
      if (delay === 0) pass();
      else setTimeout(pass, delay);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: portOf(server),
    slow: (milliseconds: number) => void (delay = milliseconds),
    cut: () => {
      for (const socket of sockets) socket.destroy();
    },
    close: () => void server.close(),
  };
}

const portOf = (server: ReturnType<typeof createServer>): number => (server.address() as { port: number }).port;
