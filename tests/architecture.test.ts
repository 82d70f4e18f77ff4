import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";

/**
 * The layer rule of the house, as a table: what a room may import, of ours and of others. `types` may be
 * imported only as types. Whatever a row does not name is refused.
 */
type Row = {
  readonly ours: readonly string[];
  readonly types: readonly string[];
  readonly packages: readonly string[];
};

const rows: Readonly<Record<string, Row>> = {
  "src/config.ts": { ours: ["src/config/"], types: [], packages: ["node:fs", "node:path", "node:util"] },
  "src/config/": { ours: ["src/config/"], types: ["src/config.ts"], packages: ["node:net", "node:os"] },
  "src/core/": {
    ours: ["src/core/"],
    types: ["src/store/", "src/config.ts"],
    packages: [
      "jose",
      "ajv",
      "node:crypto",
      "node:net",
      "node:url",
      "node:util",
      "bowser",
      "@zxcvbn-ts/language-common",
    ],
  },
  "src/store/": {
    ours: ["src/store/"],
    types: [],
    packages: [
      "drizzle-orm",
      "bun:sqlite",
      "pg",
      "pg-connection-string",
      "node:async_hooks",
      "node:crypto",
      "node:fs",
      "node:os",
      "node:path",
    ],
  },
  "src/adapters/": {
    ours: ["src/adapters/"],
    types: [
      "src/core/core.ts",
      "src/core/limits.ts",
      "src/core/mail.ts",
      "src/core/meter.ts",
      "src/core/figures.ts",
      "src/core/backups/archive.ts",
      "src/core/doctor/visitor.ts",
      "src/config.ts",
    ],
    packages: [
      "ioredis",
      "rate-limiter-flexible",
      "nodemailer",
      "liquidjs",
      "age-encryption",
      "tough-cookie",
      "node:net",
      "node:async_hooks",
      "node:fs",
      "node:fs/promises",
      "node:path",
    ],
  },
  "src/http/": {
    ours: ["src/http/", "src/core/"],
    types: ["src/store/tables.ts", "src/config.ts"],
    packages: [
      "elysia",
      "@elysiajs/swagger",
      "swagger-ui-dist",
      "node:crypto",
      "node:net",
      "node:fs",
      "node:path",
      "openapi-types",
    ],
  },
  "src/open.ts": {
    ours: ["src/config.ts", "src/open/", "src/core/", "src/store/", "src/adapters/"],
    types: [],
    packages: ["node:fs", "node:path"],
  },

  "src/open/": {
    ours: ["src/config.ts", "src/config/", "src/open.ts", "src/open/", "src/core/", "src/store/", "src/adapters/"],
    types: [],
    packages: ["node:fs", "node:path"],
  },
  "src/server.ts": {
    ours: [
      "src/config.ts",
      "src/open.ts",
      "src/core/",
      "src/http/app.ts",
      "src/http/draining.ts",
      "src/http/metrics.ts",
      "src/adapters/",
      "package.json",
    ],
    types: [],
    packages: ["node:os"],
  },
  "cli/": {
    ours: ["cli/", "src/config.ts", "src/config/", "src/open.ts", "src/open/", "src/core/", "package.json"],
    types: ["src/store/", "src/adapters/workers.ts"],
    packages: ["citty", "consola", "csv-parse", "@streamparser/json", "node:fs", "node:os", "node:path", "node:tty"],
  },
  "cli/authctl.ts": {
    ours: ["cli/", "src/adapters/system.ts", "src/server.ts"],
    types: [],
    packages: ["node:os"],
  },
  "cli/serve.ts": {
    ours: ["cli/", "src/config.ts", "src/open.ts", "src/core/", "src/server.ts", "package.json"],
    types: ["src/adapters/workers.ts"],
    packages: ["node:fs", "node:path", "node:os"],
  },
};

const root = join(import.meta.dir, "..");
const files = ["src", "cli"].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => join(folder, name)),
);

const read = (file: string): string => readFileSync(join(root, file), "utf8");

const rowOf = (file: string): Row => {
  const [name] = Object.keys(rows)
    .filter((one) => file === one || (one.endsWith("/") && file.startsWith(one)))
    .toSorted((a, b) => b.length - a.length);
  const row = name === undefined ? undefined : rows[name];
  if (!row) throw new Error(`${file} stands in no room`);
  return row;
};

type Import = { readonly target: string; readonly typeOnly: boolean };

function importsOf(file: string): Import[] {
  const text = read(file);
  const found = [
    ...text.matchAll(
      /(?:^|\n)\s*(import|export)\s+(type\s+)?([^"';]*?\bfrom\s+)?["']([^"']+)["']|\bimport\(\s*["']([^"']+)["']\s*\)/g,
    ),
  ];
  return found
    .filter((one) => one[5] !== undefined || one[1] === "import" || one[3] !== undefined)
    .map((one) => {
      const target = one[5] ?? one[4] ?? "";
      return {
        target: target.startsWith(".") ? relative(root, join(root, dirname(file), target)) : target,
        typeOnly: one[2] !== undefined,
      };
    });
}

const fits = (target: string, allowed: readonly string[]): boolean =>
  allowed.some((one) => target === one || (one.endsWith("/") && target.startsWith(one)));

const isPackage = (target: string, allowed: readonly string[]): boolean =>
  allowed.some((one) => target === one || target.startsWith(`${one}/`));

const isOurs = (target: string): boolean => /^(src|cli|tests|package\.json)/.test(target);

describe("the layer rule", () => {
  test.each(files)("%s imports only what its room may", (file) => {
    const row = rowOf(file);
    const refused = importsOf(file).filter(({ target, typeOnly }) =>
      isOurs(target)
        ? !fits(target, row.ours) && !(typeOnly && fits(target, row.types))
        : !isPackage(target, row.packages),
    );
    expect(refused).toEqual([]);
  });

  test("the scan sees what it has to see", () => {
    expect(importsOf("src/open.ts").map((one) => one.target)).toContain("src/store/store.ts");
    expect(importsOf("src/core/login.ts")).toContainEqual({ target: "src/store/sessions.ts", typeOnly: true });
    expect(importsOf("cli/desk.ts").map((one) => one.target)).toContain("src/open.ts");
  });
});

/** Adapters that are loaded where they are wanted, with the packages behind them. */
const lazy = ["redis", "session-cache", "limiters", "smtp-mailer", "mail-templates"];

test("whoever has no Redis and sends no mail loads nothing for it", () => {
  const importing = files.filter(
    (file) =>
      !lazy.some((name) => file === `src/adapters/${name}.ts`) &&
      new RegExp(String.raw`^import (?!type).*/(${lazy.join("|")})\.ts"`, "m").test(read(file)),
  );
  expect(importing).toEqual([]);
});

const withoutComments = (file: string): string =>
  read(file)
    .replace(/\/\*[\s\S]*?\*\//g, "")
    .replace(/(^|\s)\/\/.*$/gm, "");

/** What only one place may ask the machine for, so that a test can be the machine. */
const ambient = [
  {
    what: "the time",
    pattern: /Date\.now\(\)|new Date\(\)|performance\.now\(/,
    except: ["src/adapters/system.ts"],
  },
  {
    what: "chance",
    pattern: /Math\.random\(|getRandomValues|randomUUID|(?<!\.)randomBytes\(/,
    except: ["src/adapters/system.ts"],
  },
  {
    what: "the environment",
    pattern: /process\.env|Bun\.env/,
    except: ["src/config.ts", "src/server.ts", "cli/authctl.ts"],
  },
  { what: "a console", pattern: /console\./, except: [] },
  {
    what: "the network",
    pattern: /\bfetch\(/,
    except: ["src/adapters/traces.ts", "src/adapters/visitor.ts", "cli/check.ts"],
  },
] as const;

describe("nothing ambient (IO-5: no address to ask but those of the settings)", () => {
  test.each(ambient.map((one) => [one.what, one] as const))(
    "%s is asked for in one place only",
    (_, { pattern, except }) => {
      const found = files.filter((file) => !except.some((one) => one === file) && pattern.test(withoutComments(file)));
      expect(found).toEqual([]);
    },
  );

  test("only the dialects speak SQL by hand, and only the store imports drizzle", () => {
    const byHand = files.filter(
      (file) =>
        !file.startsWith("src/store/") &&
        /\b(SELECT|INSERT INTO|UPDATE|DELETE FROM)\s+\w+\s+(FROM|VALUES|SET|WHERE)/.test(withoutComments(file)),
    );
    expect(byHand).toEqual([]);
  });

  test("only the server listens", () => {
    const listening = files.filter((file) => /\.listen\(|Bun\.serve\(/.test(withoutComments(file)));
    expect(listening).toEqual(["src/server.ts"]);
  });
});

test("no file is so long that nobody reads it", () => {
  const long = files.filter((file) => read(file).split("\n").length > 400);
  expect(long).toEqual([]);
});
