/** People who are signed in, and stay so, whatever is done to the server and its database. */
import { expect } from "bun:test";
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from "jose";
import type { HttpClient, SessionToken, Tokens } from "./client.ts";
import { newEmail, signIn, signInForSession, signUp, statusOfMe } from "./people.ts";

/** Somebody who is signed in twice: what they hold now. */
export type Resident = { readonly email: string; readonly tokens: Tokens; readonly session: SessionToken };

export async function moveIn(client: HttpClient): Promise<Resident> {
  const email = newEmail("resident");
  await signUp(client, email);
  return { email, tokens: await signIn(client, { email }), session: await signInForSession(client, { email }) };
}

type Accepting = (token: string) => Promise<void>;

/** Whatever people do, by what they hold: fails where anything is refused. Answers what they hold then. */
export async function goOn(
  client: HttpClient,
  resident: Resident,
  accept: Accepting = byPublishedKeys(client),
): Promise<Resident> {
  await accepted(client, resident.tokens.access_token, accept);
  return await renew(client, resident, accept);
}

/** The same, for those whose access token need not be good any more. */
export async function renew(
  client: HttpClient,
  { email, tokens, session }: Resident,
  accept: Accepting = byPublishedKeys(client),
): Promise<Resident> {
  const answer = await client.post<Tokens>("/api/v1/auth/refresh", { refresh_token: tokens.refresh_token });
  expect(answer.status, answer.text).toBe(200);
  expect(answer.body.session_id).toBe(tokens.session_id);
  await accepted(client, answer.body.access_token, accept);
  expect(await statusOfMe(client, session.session_token)).toBe(200);
  await signIn(client, { email });
  return { email, tokens: answer.body, session };
}

/** Goes on and on until it is called to an end: fails then, where anything was refused. Answers what they hold. */
export function goOnAndOn(client: HttpClient, resident: Resident, accept?: Accepting): () => Promise<Resident> {
  const ended = new AbortController();
  let held = resident;
  const going = (async () => {
    do held = await goOn(client, held, accept);
    while (!ended.signal.aborted);
  })();
  // Told when it is called to an end.
  going.catch(() => {});
  return async () => {
    ended.abort();
    await going;
    return held;
  };
}

/** By the server, and by whoever knows nothing but the keys that it publishes. */
async function accepted(client: HttpClient, token: string, accept: Accepting): Promise<void> {
  expect(await statusOfMe(client, token)).toBe(200);
  await accept(token);
}

/** Asks for the keys each time. */
const byPublishedKeys =
  (client: HttpClient): Accepting =>
  async (token) => {
    const { body } = await client.get<JSONWebKeySet>("/.well-known/jwks.json");
    await jwtVerify(token, createLocalJWKSet(body), { issuer: "http://localhost:8000", typ: "at+jwt" });
  };
