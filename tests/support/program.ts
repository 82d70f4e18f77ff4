/** What the tests run: `authctl` from its source, or the single executable that `TEST_PROGRAM` names. */
import { join } from "node:path";
import { workerName } from "../../cli/ourselves.ts";

const root = join(import.meta.dir, "../..");
const { TEST_PROGRAM } = process.env;

const fromSource = (file: string): readonly string[] => [process.execPath, "--no-env-file", join(root, file)];

/** Whether it is the single executable, of which Bun's own beginning is a part. */
export const isOneFile = TEST_PROGRAM !== undefined && TEST_PROGRAM !== "";

export const program: readonly string[] = TEST_PROGRAM ? [join(root, TEST_PROGRAM)] : fromSource("cli/authctl.ts");

/** A server that is told everything by its environment. */
export const serverProgram: readonly string[] = TEST_PROGRAM ? [...program, workerName] : fromSource("src/server.ts");
