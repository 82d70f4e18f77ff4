/** Fills a database the way that the server would, through the core in this process, but many sessions in one write. */
import { issueAccessToken } from "../src/core/access-tokens.ts";
import type { Client } from "../src/core/actors.ts";
import type { Core } from "../src/core/core.ts";
import { sealHash } from "../src/core/passwords.ts";
import { refreshToken, startFamily } from "../src/core/refresh-tokens.ts";
import { grantsOf } from "../src/core/roles.ts";
import { startSession } from "../src/core/sessions.ts";
import { draftMember } from "../src/core/users.ts";
import { openCore } from "../src/open.ts";
import type { CredentialKind, RefreshFamily, Session } from "../src/store/tables.ts";
import { agent } from "./client.ts";
import { type Environment, issuer, password, root } from "./server.ts";

/** How many there are of what. */
export type Plan = {
  /** In front of every address, so that one database can be filled twice. */
  readonly name: string;
  /** Who is asked for in turn. */
  readonly users: number;
  /** All sessions with a session token, one for each user; no fewer than `users`. */
  readonly sessions: number;
  /** Sessions that will be signed out. */
  readonly spare: number;
  readonly families: number;
  /** Access tokens, and such that will be presented once. */
  readonly accessTokens: number;
  readonly freshAccessTokens: number;
};

export type SignedIn = { readonly email: string; readonly token: string };

/** Each array has as many as the plan says. */
export type Filling = {
  readonly sessions: readonly SignedIn[];
  readonly spare: SignedIn[];
  readonly refreshTokens: readonly string[];
  readonly accessTokens: readonly SignedIn[];
  readonly freshAccessTokens: SignedIn[];
};

const client: Client = { ip: "127.0.0.1", userAgent: agent, requestId: null };
const inOneWrite = 500;

type Begun = { readonly email: string; readonly session: Session; readonly token: string };

export async function fill(env: Environment, plan: Plan): Promise<Filling> {
  const quiet = { ...issuer, SQLITE_SYNCHRONOUS: "normal", LOG_LEVEL: "error", ...env };
  const core = await openCore({ env: quiet, cwd: root, purpose: "command", migrate: "auto" });
  try {
    const hash = await core.hashing.hash(password);
    const all = plan.sessions + plan.spare;
    const stride = Math.floor(plan.sessions / plan.users);
    const sessions: SignedIn[] = [];
    const spare: SignedIn[] = [];
    await begin(core, { name: plan.name, credential: "session", count: all, hash }, ({ email, token }, at) => {
      if (at >= plan.sessions) spare.push({ email, token });
      else if (at % stride === 0 && sessions.length < plan.users) sessions.push({ email, token });
    });

    const holders: Begun[] = [];
    const count = Math.max(plan.families, plan.accessTokens);
    await begin(core, { name: `${plan.name}-tokens`, credential: "tokens", count, hash }, (one) => holders.push(one));
    const minted = async (number: number): Promise<SignedIn[]> => {
      const tokens: SignedIn[] = [];
      for (let at = 0; at < number; at++) {
        const { session, email } = holders[at % holders.length]!;
        const { token } = await issueAccessToken(core, session, await grantsOf(core.store, session.userId));
        tokens.push({ email, token });
      }
      return tokens;
    };
    return {
      sessions,
      spare,
      refreshTokens: holders.slice(0, plan.families).map(({ token }) => token),
      accessTokens: await minted(plan.accessTokens),
      freshAccessTokens: await minted(plan.freshAccessTokens),
    };
  } finally {
    await core.close();
  }
}

type Wanted = {
  readonly name: string;
  readonly credential: CredentialKind;
  readonly count: number;
  readonly hash: string;
};

/** Makes that many users, each with a session, and tells of them in their order. */
async function begin(
  core: Core,
  { name, credential, count, hash }: Wanted,
  tell: (begun: Begun, at: number) => void,
): Promise<void> {
  for (let from = 0; from < count; from += inOneWrite) {
    const numbers = Array.from({ length: Math.min(inOneWrite, count - from) }, (_, at) => from + at);
    const drafts = await Promise.all(
      numbers.map((at) => draftMember(core, { email: `${name}-${at}@example.com` }, { own: false })),
    );
    const members = drafts.map(({ user, roles }) => ({
      user: { ...user, passwordHash: sealHash(core, user.id, hash) },
      roles,
    }));
    const begun = await core.store.write(async (tx) => {
      await tx.userBatches.insert(members, core.clock.now());
      const started: Array<{ email: string; session: Session; token: string | null; family?: RefreshFamily }> = [];
      for (const { user } of members) {
        const given = await startSession(core, tx, client, user, credential);
        const family = credential === "tokens" ? await startFamily(core, tx, given.session) : undefined;
        started.push({ email: user.email, ...given, ...(family && { family }) });
      }
      return started;
    });
    for (const [at, { email, session, token, family }] of begun.entries()) {
      const secret = family ? refreshToken(core, family, family.generation) : token!;
      tell({ email, session, token: secret }, from + at);
    }
  }
}
