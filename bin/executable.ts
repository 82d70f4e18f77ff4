/** The single executable: how it is built, and the one that belongs to the sources as they stand. */
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { dirname, join } from "node:path";

/** Names are not shortened, because Elysia looks for them; and the directory that it runs in decides nothing. */
export const build = [
  "build",
  "--compile",
  "--splitting",
  "--minify-whitespace",
  "--minify-syntax",
  "--bytecode",
  "--format=esm",
  "--sourcemap=inline",
  "--no-compile-autoload-dotenv",
  "--no-compile-autoload-bunfig",
  "--asset=./drizzle",
  "cli/authctl.ts",
];

/** Builds what stands in `root`. The file is there as a whole or not at all, whenever this is killed, and only if `isWanted` still. */
export function makeExecutable(root: string, file: string, isWanted: () => boolean = () => true): void {
  mkdirSync(dirname(file), { recursive: true });
  const workshop = mkdtempSync(join(dirname(file), ".making-"));
  try {
    const made = join(workshop, "authctl");
    const { exitCode, stderr } = Bun.spawnSync([process.execPath, ...build, "--outfile", made], { cwd: root });
    if (exitCode !== 0) throw new Error(stderr.toString());
    flush(made);
    if (isWanted()) renameSync(made, file);
  } finally {
    rmSync(workshop, { recursive: true });
  }
}

/** After a loss of power, too, the name stands for the whole. */
function flush(file: string): void {
  const descriptor = openSync(file, "r");
  fsyncSync(descriptor);
  closeSync(descriptor);
}

/** What an executable is made of. The lockfile stands for the packages, whose own files nobody changes. */
const sources = ["package.json", "bun.lock", "bin", "cli", "drizzle", "src"];

/** Where the executable of the sources as they stand belongs: their content is its name, so that no other is ever taken for it. */
function placeOf(root: string): string {
  const hash = new Bun.CryptoHasher("sha256").update(`${Bun.revision} ${process.platform} ${process.arch}`);
  const add = (path: string): void => {
    const file = join(root, path);
    if (statSync(file).isDirectory()) for (const name of readdirSync(file).toSorted()) add(`${path}/${name}`);
    else hash.update(`\0${path}\0`).update(readFileSync(file));
  };
  for (const path of sources) add(path);
  return join(root, "dist/up", `authctl-${hash.digest("hex").slice(0, 32)}`);
}

/** The executable of the sources as they stand, if it is there. */
export function knownExecutable(root: string): string | undefined {
  const file = placeOf(root);
  return existsSync(file) ? file : undefined;
}

/** The same, built now; `undefined` where somebody has changed the sources meanwhile, so that nobody knows which were built. */
export function newExecutable(root: string, now: number): string | undefined {
  const file = placeOf(root);
  makeExecutable(root, file, () => placeOf(root) === file);
  clearBeside(file, now);
  return existsSync(file) ? file : undefined;
}

/** Left behind by a start that was killed while it built. */
const abandoned = 10 * 60_000;

/** Removes what was built of other sources. */
function clearBeside(file: string, now: number): void {
  for (const name of readdirSync(dirname(file))) {
    const other = join(dirname(file), name);
    // Another start may be building there at this moment.
    const isWorkshop = name.startsWith(".making-");
    if (other !== file && !(isWorkshop && now - statSync(other).mtimeMs < abandoned)) {
      rmSync(other, { recursive: true, force: true });
    }
  }
}

if (import.meta.main) {
  const root = join(import.meta.dir, "..");
  makeExecutable(root, join(root, "dist/authctl"));
}
