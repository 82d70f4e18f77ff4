import { Refused } from "./foreign-user.ts";

const longestText = 8_192;

/**
 * The members of a record from elsewhere, each asked for by the names that it may have. From CSV every member is a
 * text, so each reader takes its value as a text too; `$oid` and `$date` are how MongoDB wraps values. Throws `Refused` where a value is of another form; what is
 * missing, null or empty is `null`.
 */
export class Members {
  readonly #record: object;

  constructor(record: object) {
    this.#record = record;
  }

  /** `undefined` where the value is no object with members. */
  static of(value: unknown): Members | undefined {
    return typeof value === "object" && value !== null && !Array.isArray(value) ? new Members(value) : undefined;
  }

  has(...names: readonly string[]): boolean {
    return names.every((name) => Object.hasOwn(this.#record, name));
  }

  text(...names: readonly string[]): string | null {
    const [name, value] = this.#first(names);
    if (value === null) return null;
    const wrapped = Members.of(value);
    if (wrapped?.has("$oid")) return wrapped.text("$oid");
    if (typeof value !== "string" && typeof value !== "number") throw new Refused("unfit_member", name);
    return checked(String(value), name);
  }

  flag(...names: readonly string[]): boolean | null {
    const [name, value] = this.#first(names);
    if (value === null) return null;
    const word = typeof value === "string" ? value.toLowerCase() : value;
    if ([true, 1, "true", "t", "1", "yes"].some((one) => one === word)) return true;
    if ([false, 0, "false", "f", "0", "no"].some((one) => one === word)) return false;
    throw new Refused("unfit_member", name);
  }

  /** A time of any usual form; one without an offset is of UTC, a number counts seconds or milliseconds since 1970. */
  time(...names: readonly string[]): Date | null {
    const [name, value] = this.#first(names);
    if (value === null) return null;
    const wrapped = Members.of(value);
    if (wrapped) return wrapped.time("$date", "$numberLong");
    const at = parseTime(typeof value === "number" ? String(value) : value);
    if (!at) throw new Refused("unfit_member", name);
    return at;
  }

  /** An object, or the JSON text of one. */
  members(...names: readonly string[]): Members | null {
    const [name, value] = this.#first(names);
    if (value === null) return null;
    return Members.of(typeof value === "string" ? parseJson(value) : value) ?? refuse(name);
  }

  /** The objects of a list, or of the JSON text of one. */
  each(...names: readonly string[]): Members[] {
    const [name, value] = this.#first(names);
    if (value === null) return [];
    const list: unknown = typeof value === "string" ? parseJson(value) : value;
    if (!Array.isArray(list)) throw new Refused("unfit_member", name);
    return list.map((one) => Members.of(one) ?? refuse(name));
  }

  /** A list of words, or one text with commas between them. */
  words(...names: readonly string[]): string[] {
    const [name, value] = this.#first(names);
    if (value === null) return [];
    const isList = typeof value === "string" && value.startsWith("[");
    const list: unknown = isList ? parseJson(value) : typeof value === "string" ? value.split(",") : value;
    if (!Array.isArray(list)) throw new Refused("unfit_member", name);
    return list
      .map((word) => (typeof word === "string" ? checked(word.trim(), name) : refuse(name)))
      .filter((word) => word !== "");
  }

  /** The members as they are, where every text in them can be kept. */
  plain(): Readonly<Record<string, unknown>> {
    const keep = (key: string, value: unknown): unknown => {
      for (const text of [key, value]) if (typeof text === "string" && !isKept(text)) refuse("profile");
      return value;
    };
    return JSON.parse(JSON.stringify(this.#record, keep));
  }

  /** The first of the names that is there with a value, and the value. */
  #first(names: readonly string[]): [name: string, value: unknown] {
    for (const name of names) {
      const value: unknown = this.has(name) ? Reflect.get(this.#record, name) : null;
      if (value !== null && value !== undefined && value !== "") return [name, value];
    }
    return [names[0] ?? "", null];
  }
}

function refuse(member: string): never {
  throw new Refused("unfit_member", member);
}

/** Neither database keeps a NUL; a replacement character is where bytes were no UTF-8. */
const isKept = (text: string): boolean => text.isWellFormed() && !/[\0\ufffd]/.test(text);

function checked(text: string, member: string): string {
  return text.length <= longestText && isKept(text) ? text : refuse(member);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** From 1970 to the year 9999, which is what both databases and an id can hold. */
const earliest = 0;
const latest = Date.UTC(9999, 11, 31);

function parseTime(value: unknown): Date | undefined {
  if (typeof value !== "string") return undefined;
  const milliseconds = /^\d{1,15}(\.\d+)?$/.test(value) ? sinceEpoch(Number(value)) : Date.parse(isoOf(value) ?? "");
  return milliseconds >= earliest && milliseconds <= latest ? new Date(Math.floor(milliseconds)) : undefined;
}

/** Seconds reach 100,000,000,000 in the year 5138, milliseconds did so in 1973. */
const sinceEpoch = (number: number): number => (number < 100_000_000_000 ? number * 1000 : number);

/** `2024-01-31 12:00:00.123456+00`, as databases write it, in the form that every JavaScript understands. */
function isoOf(text: string): string | undefined {
  const [, day, time = "00:00", zone = "Z"] =
    /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?) ?(Z|UTC|[+-]\d\d(?::?\d\d)?)?)?$/.exec(text.trim()) ??
    [];
  if (!day) return undefined;
  const [, hours, minutes = "00"] = /^([+-]\d\d):?(\d\d)?$/.exec(zone) ?? [];
  return `${day}T${time.replace(/(\.\d{3})\d+$/, "$1")}${hours === undefined ? "Z" : `${hours}:${minutes}`}`;
}
