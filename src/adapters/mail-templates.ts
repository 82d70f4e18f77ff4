import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Context, Liquid, type LiquidOptions } from "liquidjs";
import type { MailTemplates, MailVariables, Words } from "../core/core.ts";
import type { MailKind } from "../core/mail.ts";
import { german } from "./mail-templates/de.ts";
import { english } from "./mail-templates/en.ts";
import letter from "./mail-templates/letter.html" with { type: "text" };
import { pageText, type Templates } from "./mail-templates/templates.ts";

const ours: ReadonlyMap<string, Templates> = new Map([
  ["de", german],
  ["en", english],
]);

const careful: LiquidOptions = {
  // A name that is misspelt is told, instead of leaving a hole in a mail.
  strictVariables: true,
  strictFilters: true,
  ownPropertyOnly: true,
  // Whatever a template wants to include, there is nothing but this.
  templates: { letter: pageText(letter) },
  parseLimit: 200_000,
  renderLimit: 1_000,
  memoryLimit: 2_000_000,
};
const plainEngine = new Liquid(careful);
const htmlEngine = new Liquid({ ...careful, outputEscape: "escape" });
for (const engine of [plainEngine, htmlEngine]) engine.registerFilter("lasting", lasting);

const units = [
  ["day", 1_440],
  ["hour", 60],
  ["minute", 1],
] as const;

/** `{{ minutes | lasting }}`: `90 minutes`, `24 hours`, in the language of the template. */
function lasting(this: { context: Context }, minutes: unknown): string {
  const number = Number(minutes);
  const [unit, size] = units.find(([, length]) => number % length === 0 && number > length) ?? units[2];
  const language = String(this.context.getSync(["language"]));
  return new Intl.NumberFormat(language, { style: "unit", unit, unitDisplay: "long" }).format(number / size);
}

/** Ours, and before them those of the operator in `directory`, which are read anew for each mail. */
export function createMailTemplates(directory: string | undefined): MailTemplates {
  return {
    async render(kind, languages, variables) {
      const broken: Array<Words["broken"][number]> = [];
      for (const language of languages) {
        const sources = (form: "txt" | "html") => sourcesOf(directory, language, kind, form);
        const scope = { ...variables, language };
        const plain = await firstThatWorks(sources("txt"), broken, (text) => renderPlain(text, scope));
        // Without a text there is no subject either.
        if (!plain) continue;
        const html = await firstThatWorks(sources("html"), broken, (text) => htmlEngine.parseAndRender(text, scope));
        return { language, ...plain, html, broken };
      }
      throw new Error(`there are no words for a mail of the kind ${kind}`);
    },
  };
}

type Source = {
  /** None where it is ours. */
  readonly file: string | undefined;
  /** `undefined` where there is none. */
  readonly read: () => Promise<string | undefined>;
};

function sourcesOf(directory: string | undefined, language: string, kind: MailKind, form: "txt" | "html"): Source[] {
  const own: Source = { file: undefined, read: async () => ours.get(language)?.[kind][form] };
  // A user chooses the language, and it becomes a part of a path.
  if (directory === undefined || !/^[A-Za-z0-9]+(-[A-Za-z0-9]+)*$/.test(language)) return [own];
  const file = `${language}/${kind}.${form}`;
  return [{ file, read: () => readText(join(directory, file)) }, own];
}

async function readText(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw new Error(`cannot be read (${code})`, { cause: error });
  }
}

/** What `make` makes of the first source that it can use. One of the operator's that fails is noted in `broken`: no mail is lost by it. */
async function firstThatWorks<T>(
  sources: readonly Source[],
  broken: Array<Words["broken"][number]>,
  make: (text: string) => Promise<T>,
): Promise<T | undefined> {
  for (const { file, read } of sources) {
    try {
      const text = await read();
      if (text !== undefined) return await make(text);
    } catch (error) {
      if (file === undefined) throw error;
      broken.push({ file, message: error instanceof Error ? error.message : "is broken" });
    }
  }
  return undefined;
}

/** The subject is parted from the text before anything is filled in, so that nothing that is filled in can part them elsewhere. */
async function renderPlain(template: string, variables: MailVariables): Promise<Pick<Words, "subject" | "text">> {
  const [, subject, text] = /^\uFEFF?Subject: *(\S[^\r\n]*)\r?\n(.*)$/s.exec(template) ?? [];
  if (subject === undefined || text === undefined) throw new Error("the first line must be `Subject: …`");
  return {
    subject: await plainEngine.parseAndRender(subject, variables),
    text: `${(await plainEngine.parseAndRender(text, variables)).trim()}\n`,
  };
}
