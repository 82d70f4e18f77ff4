/** What a change may be made to, and whether an answer is wanted at all (RFC 9110, section 13). */
import { fail } from "../core/errors.ts";
import type { Account } from "../store/tables.ts";

/** A strong tag: it moves on with every change of what can be changed of a user. */
export const etagOf = ({ revision }: Pick<Account, "revision">): string => `"${revision}"`;

const tag = String.raw`(?:W/)?"[\x21\x23-\x7e\x80-\uffff]*"`;
const tags = new RegExp(String.raw`^[ \t]*${tag}(?:[ \t]*,[ \t]*${tag})*[ \t]*$`);

/** The tags of a field, or `*`; undefined where it was not sent. */
function readTags(field: string | null, name: string): "*" | readonly string[] | undefined {
  if (field === null) return undefined;
  if (field.trim() === "*") return "*";
  if (!tags.test(field))
    fail("malformed_request", { detail: `Send \`${name}\` as entity tags, such as "3", or as *.` });
  return field.match(new RegExp(tag, "g")) ?? [];
}

/**
 * The revisions that `If-Match` lets a change be made to; undefined where any will do. A weak tag never matches
 * (section 13.1.1), nor does one that is none of ours.
 */
export function expectedRevisions({ headers }: Request): readonly number[] | undefined {
  const wanted = readTags(headers.get("if-match"), "If-Match");
  if (wanted === undefined || wanted === "*") return undefined;
  return wanted.flatMap((one) => (/^"(?:0|[1-9]\d{0,8})"$/.test(one) ? [Number(one.slice(1, -1))] : []));
}

/** Whether who asks has this already (`If-None-Match`). */
export function isKnown({ headers }: Request, etag: string): boolean {
  const known = readTags(headers.get("if-none-match"), "If-None-Match");
  return known === "*" || (known?.some((one) => one.replace(/^W\//, "") === etag) ?? false);
}
