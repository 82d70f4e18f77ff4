/** What a shell offers behind a name that has been begun: the beginning decides, and a few are enough. */
import type { Readers } from "../store/store.ts";
import { ownPermissions } from "./permissions.ts";
import { selectionOf } from "./users/user-lists.ts";

/** A word, and what tells it from the others. */
export type Candidate = { readonly word: string; readonly about: string };

/** As many of those who were deleted are looked at. */
const mostTombstones = 1_000;

type Look = (readers: Readers, beginning: string, most: number, now: Date) => Promise<Candidate[]>;

/** Everything that is named by what stands in the database. */
const looks = {
  async users(readers, beginning, most) {
    const query = beginning === "" ? { sort: "-created_at" as const } : { query: beginning };
    const { users } = await readers.users.list(selectionOf(query), most);
    // Somebody who is found by the user name is called by it; whoever was found by a full name has none that begins so.
    return users.flatMap(({ email, username, fullName }) => {
      const words = [email, username].filter((word) => word !== null && begins(word, beginning));
      return words.slice(0, 1).map((word) => ({ word: word!, about: fullName ?? username ?? "" }));
    });
  },
  async sessions(readers, beginning, most, now) {
    const page = await readers.sessions.page({ aliveAt: now }, most, beginning);
    return page
      .filter(({ session }) => begins(session.id, beginning))
      .map(({ session, user }) => ({ word: session.id, about: `${user.email} from ${session.ip ?? "nowhere"}` }));
  },
  async roles(readers, beginning) {
    const roles = await readers.roles.all();
    return roles
      .filter(({ name }) => begins(name, beginning))
      .map(({ name, description }) => ({ word: name, about: description ?? "" }));
  },
  async permissions(readers, beginning) {
    const roles = await readers.roles.all();
    const known = new Set([...ownPermissions, ...roles.flatMap(({ permissions }) => permissions)]);
    return [...known].filter((one) => begins(one, beginning)).map((word) => ({ word, about: "" }));
  },
  async keys(readers, beginning) {
    const keys = await readers.signingKeys.all();
    return keys
      .filter(({ kid }) => begins(kid, beginning))
      .map(({ kid, algorithm, state }) => ({ word: kid, about: `${algorithm}, ${state}` }));
  },
  async secrets(readers, beginning) {
    const secrets = await readers.serverSecrets.all();
    return secrets
      .filter(({ version }) => begins(version, beginning))
      .map(({ version, state }) => ({ word: version, about: state }));
  },
  async mails(readers, beginning, most) {
    // First those that wait for somebody to decide about them.
    const pages = [
      await readers.mails.page("dead", most, beginning),
      await readers.mails.page(undefined, most, beginning),
    ];
    const found = new Map(pages.flat().map((mail) => [mail.id, mail]));
    return [...found.values()]
      .filter(({ id }) => begins(id, beginning))
      .map(({ id, kind, state, problem }) => ({ word: id, about: [kind, state, problem ?? ""].join(" ").trim() }));
  },
  async bans(readers, beginning, _most, now) {
    const bans = await readers.bans.inForce(now);
    return bans
      .filter(({ network }) => begins(network, beginning))
      .map(({ network, reason }) => ({ word: network, about: reason ?? "" }));
  },
  async deleted(readers, beginning) {
    const tombstones = await readers.tombstones.page(new Date(0), mostTombstones);
    return tombstones.flatMap(({ email, username, deletedAt }) => {
      const words = [email, username].filter((word) => word !== null && begins(word, beginning));
      return words.slice(0, 1).map((word) => ({ word: word!, about: `deleted ${deletedAt.toISOString()}` }));
    });
  },
} as const satisfies Readonly<Record<string, Look>>;

export type NamedKind = keyof typeof looks;

export const candidatesOf = async (
  readers: Readers,
  kind: NamedKind,
  ...rest: [beginning: string, most: number, now: Date]
): Promise<Candidate[]> => await looks[kind](readers, ...rest);

const begins = (word: string, beginning: string): boolean => word.toLowerCase().startsWith(beginning.toLowerCase());
