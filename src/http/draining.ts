import type { Clock } from "../core/core.ts";

/** Nobody has sent anything for so long: whoever spreads requests over servers has found another one, in milliseconds. */
const quietFor = 500;
const lookAgainAfter = 20;
/** Who only asks how the server is would go on asking for ever. */
const probes = ["/readyz", "/health", "/livez"];
const isProbe = ({ url }: Request): boolean => probes.some((path) => url.endsWith(path));

/** What Elysia calls around every request. */
type Around = (next: (request: Request) => unknown, request: Request) => (request: Request) => unknown;

export type Drain = {
  readonly around: Around;
  readonly isDraining: () => boolean;
  /**
   * From here on `/readyz` says that it is time to go elsewhere, and each connection is closed after its next
   * answer. Resolves when requests have stopped coming, after at most `patience` milliseconds: then a server can
   * stop listening and close what is idle without meeting a request that is on its way.
   */
  begin(patience: number): Promise<void>;
};

/** How a server takes its leave while others go on sending. */
export function createDrain(clock: Clock): Drain {
  const now = (): number => clock.now().getTime();
  let draining = false;
  let lastRequestAt = 0;
  const probed = { previousAt: 0, lastAt: 0, told: false };

  const noteProbe = (): void => {
    Object.assign(probed, { previousAt: probed.lastAt, lastAt: now(), told: draining });
  };
  /** Whoever asks at regular times is to hear of it before the door closes. */
  const probeIsDue = (): boolean =>
    !probed.told && probed.previousAt > 0 && now() < probed.lastAt + 1.5 * (probed.lastAt - probed.previousAt);

  const answered = async (answer: unknown): Promise<unknown> => {
    const given = await answer;
    // Else a proxy would keep the connection, and send its next request at the very moment in which it is closed.
    if (draining && given instanceof Response) given.headers.set("connection", "close");
    return given;
  };

  return {
    around: (next, request) => () => {
      // When the last one came matters only to who is about to go; and to look at the clock is not free.
      if (isProbe(request)) noteProbe();
      else if (draining) lastRequestAt = now();
      const answer = next(request);
      // One that is there already needs no promise, unless it has to say good-bye.
      return answer instanceof Response && !draining ? answer : answered(answer);
    },
    isDraining: () => draining,
    begin: async (patience) => {
      draining = true;
      // What is on its way at this moment is no exception.
      lastRequestAt = now();
      const isWanted = (): boolean => now() - lastRequestAt < quietFor || probeIsDue();
      for (let waited = 0; waited < patience && isWanted(); waited += lookAgainAfter) {
        await new Promise<void>((resolve) => clock.after(lookAgainAfter, resolve));
      }
    },
  };
}
