import type { Core } from "../../src/core/core.ts";
import { type Rotation, type RotationOptions, rotateSecret } from "../../src/core/secrets/rotation.ts";
import { root } from "./core.ts";

const unhurried: RotationOptions = { resume: false, wait: 0, batchSize: 200, pause: 0 };

/** Has the secret take over that this core holds in front of the others; else one that it makes. */
export const takeOver = (core: Core, options: Partial<RotationOptions> = {}): Promise<Rotation> =>
  rotateSecret(core, root, { ...unhurried, ...options });

/** The same, and leaves everything sealed as it was. */
export const takeOverOnly = (core: Core): Promise<Rotation> => takeOver(core, { interrupted: AbortSignal.abort() });
