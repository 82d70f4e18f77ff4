/** The flags of a bench: `--seconds=5`, `--quick`, `--only=one,other`. Whatever is wrong ends the program with exit code 2. */
import { parseArgs } from "node:util";

/** Each flag with its default: a number; off; or the words that may be chosen from, all of them. */
type Form = Readonly<Record<string, number | boolean | readonly string[]>>;

type Chosen<F extends Form> = {
  readonly [Name in keyof F]: F[Name] extends number
    ? number
    : F[Name] extends boolean
      ? boolean
      : F[Name] extends ReadonlyArray<infer Word>
        ? readonly Word[]
        : never;
};

export function readOptions<const F extends Form>(form: F, words = process.argv.slice(2)): Chosen<F> {
  try {
    const options = Object.fromEntries(
      Object.entries(form).map(([name, by]) => [
        name,
        { type: typeof by === "boolean" ? "boolean" : "string" } as const,
      ]),
    );
    const { values } = parseArgs({ args: [...words], options, strict: true, allowPositionals: false });
    const chosen = Object.entries(form).map(([name, by]) => [name, valueOf(name, by, values[name])]);
    return Object.fromEntries(chosen) as Chosen<F>;
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error), form);
  }
}

function valueOf(name: string, by: Form[string], given: string | boolean | undefined): Form[string] {
  if (given === undefined || typeof given === "boolean") return given ?? by;
  if (typeof by !== "object") {
    if (Number.isFinite(Number(given)) && Number(given) > 0) return Number(given);
    throw new Error(`--${name} takes a number above zero, not '${given}'`);
  }
  const words = given.split(",");
  const unknown = words.find((word) => !by.includes(word));
  if (unknown === undefined) return words;
  throw new Error(`--${name} takes some of ${by.join(", ")}, not '${unknown}'`);
}

function refuse(message: string, form: Form): never {
  console.error(message);
  const shown = Object.entries(form).map(([name, by]) =>
    typeof by === "boolean" ? `--${name}` : typeof by === "number" ? `--${name}=${by}` : `--${name}=${by.join(",")}`,
  );
  console.error(`Known flags, with their defaults: ${shown.join(" ")}`);
  process.exit(2);
}
