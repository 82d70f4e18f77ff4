import { expect } from "bun:test";
import type { Chance } from "./chance.ts";
import type { Answer, HttpClient, Tokens } from "./client.ts";
import { goodPassword } from "./core.ts";
import { newEmail, statusOfMe } from "./people.ts";

/** The request was cut off, or answered that the database is away: nobody knows whether it was done. */
class CutOff extends Error {}

/**
 * One user who does what users do until the server dies, and remembers what was acknowledged. All that it does is
 * done in a row, so that only the very last request can be in doubt.
 */
export class Witness {
  readonly #client: HttpClient;
  readonly #chance: Chance;
  readonly email = newEmail("witness");
  /** Those that may be right: two where a change was cut off. None before the registration was acknowledged. */
  #passwords: string[] = [];
  /** Alive for certain, each with the last token that was acknowledged. */
  readonly #live = new Map<string, Tokens>();
  /** Ended for certain. */
  readonly #ended: Tokens[] = [];
  acknowledged = 0;
  /** The answer 503 that ended it, where one did. */
  refusal: Answer<unknown> | undefined;

  constructor(client: HttpClient, chance: Chance) {
    this.#client = client;
    this.#chance = chance;
  }

  /** Goes on until a request is cut off or answered 503. */
  async act(): Promise<void> {
    try {
      await this.#register();
      for (;;) await this.#something();
    } catch (error) {
      if (!(error instanceof CutOff)) throw error;
    }
  }

  async #something(): Promise<void> {
    const own = [...this.#live.values()];
    if (own.length === 0) return await this.#signIn();
    const one = this.#chance.pick(own);
    const deeds = [
      () => this.#signIn(),
      () => this.#refresh(one),
      () => this.#refresh(one),
      () => this.#signOut(one),
      () => this.#signOut(one),
      () => this.#signOutEverywhere(one),
      () => this.#changePassword(one),
    ];
    await this.#chance.pick(deeds)();
  }

  /** Sends one request and counts its answer. Where none comes, everything ends here. */
  async #send<T>(status: number, path: string, body: unknown, bearer?: string): Promise<Answer<T>> {
    const answer = await this.#client
      .post<T>(path, body, bearer === undefined ? {} : { bearer })
      .catch((error: unknown) => {
        throw new CutOff("no answer", { cause: error });
      });
    if (answer.status === 503) {
      this.refusal = answer;
      throw new CutOff("the database is away");
    }
    expect(answer.status, answer.text).toBe(status);
    this.acknowledged++;
    return answer;
  }

  async #register(): Promise<void> {
    await this.#send(201, "/api/v1/auth/register", { email: this.email, password: goodPassword });
    this.#passwords = [goodPassword];
  }

  async #signIn(): Promise<void> {
    const { body } = await this.#send<Tokens>(200, "/api/v1/auth/login", {
      email: this.email,
      password: this.#passwords[0],
    });
    this.#live.set(body.session_id, body);
  }

  async #refresh({ refresh_token, session_id }: Tokens): Promise<void> {
    // A session whose answer is cut off stays alive: the token that was sent gets the same successor again.
    const { body } = await this.#send<Tokens>(200, "/api/v1/auth/refresh", { refresh_token });
    expect(body.session_id).toBe(session_id);
    this.#live.set(session_id, body);
  }

  async #signOut(one: Tokens): Promise<void> {
    this.#live.delete(one.session_id);
    await this.#send(204, "/api/v1/auth/logout", { refresh_token: one.refresh_token });
    this.#ended.push(one);
  }

  async #signOutEverywhere(one: Tokens): Promise<void> {
    const all = [...this.#live.values()];
    this.#live.clear();
    await this.#send(200, "/api/v1/auth/logout-all", undefined, one.access_token);
    this.#ended.push(...all);
  }

  async #changePassword(one: Tokens): Promise<void> {
    const [old] = this.#passwords;
    const next = `${goodPassword} number ${this.acknowledged}`;
    const others = [...this.#live.values()].filter(({ session_id }) => session_id !== one.session_id);
    for (const { session_id } of others) this.#live.delete(session_id);
    this.#passwords = [old!, next];
    const body = { current_password: old, new_password: next };
    await this.#send(204, "/api/v1/users/me/password", body, one.access_token);
    this.#passwords = [next];
    this.#ended.push(...others);
  }

  /** What of the acknowledged does not hold any more, in words. */
  async broken(): Promise<string[]> {
    const found: string[] = [];
    for (const one of this.#ended) {
      if ((await this.#refreshStatus(one)) !== 401) found.push(`${one.session_id} was ended, and refreshes`);
      if ((await statusOfMe(this.#client, one.access_token)) !== 401)
        found.push(`${one.session_id} was ended, and is taken`);
    }
    for (const one of this.#live.values()) {
      if ((await statusOfMe(this.#client, one.access_token)) !== 200) found.push(`${one.session_id} is lost`);
      if ((await this.#refreshStatus(one)) !== 200) found.push(`${one.session_id} does not refresh`);
    }
    const right = await Promise.all(this.#passwords.map((password) => this.#signInStatus(password)));
    const good = right.filter((status) => status === 200).length;
    if (this.#passwords.length > 0 && good !== 1) found.push(`${this.email}: ${good} passwords are right`);
    return found;
  }

  /** Keeps the successor, so that asking again later is no reuse. */
  async #refreshStatus({ refresh_token, session_id }: Tokens): Promise<number> {
    const { status, body } = await this.#client.post<Tokens>("/api/v1/auth/refresh", { refresh_token });
    if (status === 200) this.#live.set(session_id, body);
    return status;
  }

  async #signInStatus(password: string): Promise<number> {
    return (await this.#client.post("/api/v1/auth/login", { email: this.email, password })).status;
  }
}
