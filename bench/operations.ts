/** What is measured, and how each server is asked for it. Every answer is looked at. */
import { type Answer, ask, inTurn, request, type Work } from "./client.ts";
import type { Filling, SignedIn } from "./fill.ts";
import { password } from "./server.ts";

export const operations = {
  "check-token": "session check, session token",
  "check-beside-writes": "session check, session token, beside 20 refreshes a second",
  "check-cookie": "session check, cookie",
  "check-access": "session check, access token seen before",
  "check-new-access": "session check, access token never seen before",
  forged: "forged credential",
  list: "list of the own sessions",
  refresh: "refresh",
  "sign-out": "sign-out",
  "sign-in": "sign-in",
} as const;
export type Operation = keyof typeof operations;
export const operationNames = Object.keys(operations) as Operation[];

/** What spends what was prepared asks for so many in each second that a round is to last. */
export const spentEachSecond = 1_000;

/** One round. What has an end of its own ends there. */
export type Round = {
  readonly work: Work;
  readonly endless: boolean;
  /** Asked once before anything is counted, so that what is read first is not what is measured. */
  readonly warmUp?: Work;
  /** Done twenty times a second meanwhile, whatever comes back: what was read is not true for long where somebody writes. */
  readonly beside?: () => Promise<unknown>;
  /** Whether what was done was done. */
  readonly proof?: () => Promise<boolean>;
};

/** Where the server is, and how long a round is to last. */
type At = { readonly port: number; readonly seconds: number };

/** `undefined` for what a server does not do. */
export type Asker = (operation: Operation, at: At) => Round | undefined;

/** Few at once, as a server with one core has room for few hashes. */
export const connectionsOf = (operation: Operation, connections: number): number =>
  operation === "sign-in" ? Math.min(8, connections) : connections;

const bearer = (token: string) => ({ Authorization: `Bearer ${token}` });

function endless(requests: readonly Buffer[], isRight: (answer: Answer, at: number) => boolean): Round {
  return { work: inTurn(requests, isRight), endless: true, warmUp: inTurn(requests, isRight, { once: true }) };
}

const ended = (requests: readonly Buffer[], isRight: (answer: Answer, at: number) => boolean): Round => ({
  work: inTurn(requests, isRight, { once: true }),
  endless: false,
});

/** A sample of those who have signed out is asked for once more. */
const proofOf = (port: number, requests: readonly Buffer[], isRefused: (answer: Answer) => boolean) => async () => {
  const sample = requests.filter((_, at) => at % Math.ceil(requests.length / 20) === 0);
  for (const asked of sample) if (!isRefused(await ask(port, asked))) return false;
  return true;
};

const spend = (from: SignedIn[], seconds: number): SignedIn[] => from.splice(0, Math.ceil(spentEachSecond * seconds));

const me = "/api/v1/users/me";

/** authctl, on a database that was filled. */
export function askAuthctl(filling: Filling): Asker {
  const { sessions, accessTokens, freshAccessTokens, spare } = filling;
  const isOwner = (people: readonly SignedIn[]) => (answer: Answer, at: number) =>
    answer.status === 200 && answer.body.includes(people[at]!.email);
  const isRefused = ({ status, body }: Answer) => status === 401 && body.includes('"unauthenticated"');
  const refreshing = refreshes(filling.refreshTokens);
  // The last one belongs to no connection.
  const lone = refreshes(filling.refreshTokens.slice(-1));

  const rounds: Readonly<Record<Operation, (at: At) => Round>> = {
    "check-token": () =>
      endless(
        sessions.map(({ token }) => request("GET", me, bearer(token))),
        isOwner(sessions),
      ),
    "check-beside-writes": (at) => ({
      ...rounds["check-token"](at),
      beside: async () => lone.take(0, await ask(at.port, lone.next(0)!)),
    }),
    "check-cookie": () =>
      endless(
        sessions.map(({ token }) => request("GET", me, { Cookie: `session=${token}` })),
        isOwner(sessions),
      ),
    "check-access": () =>
      endless(
        accessTokens.map(({ token }) => request("GET", me, bearer(token))),
        isOwner(accessTokens),
      ),
    "check-new-access": ({ seconds }) => {
      const fresh = spend(freshAccessTokens, seconds);
      return ended(
        fresh.map(({ token }) => request("GET", me, bearer(token))),
        isOwner(fresh),
      );
    },
    forged: () =>
      endless(
        sessions.map(({ token }) => request("GET", me, bearer(forged(token)))),
        isRefused,
      ),
    list: () =>
      endless(
        sessions.map(({ token }) => request("GET", "/api/v1/sessions", bearer(token))),
        ({ status, body }) => status === 200 && body.includes('"current":true'),
      ),
    refresh: () => ({ work: refreshing, endless: true }),
    "sign-out": ({ port, seconds }) => {
      const leaving = spend(spare, seconds);
      const again = leaving.map(({ token }) => request("GET", me, bearer(token)));
      const round = ended(
        leaving.map(({ token }) => request("POST", "/api/v1/auth/logout", bearer(token))),
        ({ status }) => status === 204,
      );
      return { ...round, proof: proofOf(port, again, isRefused) };
    },
    "sign-in": () => ({
      work: inTurn(
        sessions.map(({ email }) =>
          request("POST", "/api/v1/auth/login", {}, { email, password, credential: "session" }),
        ),
        ({ status, body }) => status === 200 && body.includes('"session_token":"st_'),
      ),
      endless: true,
    }),
  };
  return (operation, at) => rounds[operation](at);
}

/** Another signature: the last character holds bits that do not count, so not that one. */
const forged = (token: string): string =>
  `${token.slice(0, -10)}${token.at(-10) === "A" ? "B" : "A"}${token.slice(-9)}`;

/** Each connection trades its own token on. */
function refreshes(first: readonly string[]): Work {
  const tokens = [...first];
  return {
    next: (connection) => request("POST", "/api/v1/auth/refresh", {}, { refresh_token: tokens[connection] }),
    take(connection, { status, body }) {
      const next = /"refresh_token":"([^"]+)"/.exec(body)?.[1];
      const isRight = status === 200 && next !== undefined && next !== tokens[connection];
      if (next !== undefined) tokens[connection] = next;
      return isRight;
    },
  };
}

/** The bare server: a SELECT, and for signing in a verification. `rows` of them are asked for in turn, evenly spread. */
export function askLimit(rows: number, users: number): Asker {
  const stride = Math.floor(rows / users);
  const reading = endless(
    Array.from({ length: users }, (_, at) => request("GET", "/", bearer(`t${at * stride}`))),
    ({ status, body }, at) => status === 200 && body.includes(`user${at * stride}@`),
  );
  const verify = request("POST", "/", {}, { password });
  return (operation) =>
    operation === "sign-in"
      ? { work: inTurn([verify], ({ status, body }) => status === 200 && body.includes("true")), endless: true }
      : reading;
}

const betterAuthCookie = "better-auth.session_token";

/**
 * Better Auth, which has one credential, a cookie. What comes nearest to a refresh is a look at the session that moves
 * its end on, by a second server that was told to do so each time.
 */
export function askBetterAuth(people: readonly SignedIn[], spare: SignedIn[], port: number): Asker {
  const cookie = (token: string) => ({ Cookie: `${betterAuthCookie}=${token}`, Origin: `http://localhost:${port}` });
  const look = ({ token }: SignedIn) => request("GET", "/api/auth/get-session", cookie(token));
  const isOwner = ({ status, body }: Answer, at: number) => status === 200 && body.includes(people[at]!.email);
  const isNobody = ({ status, body }: Answer) => status === 401 || (status === 200 && body === "null");

  const looking = () => endless(people.map(look), isOwner);
  const rounds: Readonly<Partial<Record<Operation, (at: At) => Round>>> = {
    "check-cookie": looking,
    refresh: looking,
    forged: () => {
      const wrong = (token: string) => encodeURIComponent(forged(decodeURIComponent(token)));
      return endless(
        people.map((one) => look({ ...one, token: wrong(one.token) })),
        isNobody,
      );
    },
    list: () =>
      endless(
        people.map(({ token }) => request("GET", "/api/auth/list-sessions", cookie(token))),
        ({ status, body }) => status === 200 && body.includes('"userId"'),
      ),
    "sign-out": ({ seconds }) => {
      const leaving = spend(spare, seconds);
      const round = ended(
        leaving.map(({ token }) => request("POST", "/api/auth/sign-out", cookie(token), {})),
        ({ status, body }) => status === 200 && body.includes("true"),
      );
      return { ...round, proof: proofOf(port, leaving.map(look), isNobody) };
    },
    "sign-in": () => ({
      work: inTurn(
        people.map(({ email }) =>
          request("POST", "/api/auth/sign-in/email", { Origin: `http://localhost:${port}` }, { email, password }),
        ),
        ({ status, body }) => status === 200 && body.includes('"token"'),
      ),
      endless: true,
    }),
  };
  return (operation, at) => rounds[operation]?.(at);
}
