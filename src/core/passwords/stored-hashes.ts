/**
 * Hashes of passwords as they are stored, ours and those of the systems that users were imported from (rules PW-5,
 * PW-6 and ADM-7): one text for each scheme, after the PHC string format. What a text costs is bounded whenever it
 * is read, so that no row can stall the server.
 */
import { createCipheriv, pbkdf2, scrypt, timingSafeEqual } from "node:crypto";
import { promisify } from "node:util";

export type HashScheme = "argon2" | "bcrypt" | "pbkdf2" | "scrypt" | "fbscrypt";

export type StoredHash = {
  readonly scheme: HashScheme;
  /** Whether one comparison stays within the bounds. What is beyond them is never computed. */
  readonly bearable: boolean;
  /** Whether the hash was made of these bytes. */
  readonly fits: (password: Buffer) => Promise<boolean>;
};

/** KiB that one comparison may occupy. */
const mostMemory = 262_144;

/**
 * Understands a stored text; `undefined` where it is of no form that is known here.
 *
 * @param ownMemory the argon2 memory of new hashes in KiB, which is bearable by definition
 */
export function readHash(text: string, ownMemory = 0): StoredHash | undefined {
  return readArgon2(text, ownMemory) ?? readBcrypt(text) ?? readPbkdf2(text) ?? readScrypt(text) ?? readFirebase(text);
}

export type Argon2Cost = {
  readonly variant: string;
  readonly memory: number;
  readonly passes: number;
  readonly lanes: number;
};

/** Reads an argon2 string of version 1.3 with salt and hash of the usual lengths (RFC 9106, section 3.1). */
export function argon2Cost(text: string): Argon2Cost | undefined {
  const [, variant, memory, passes, lanes] =
    /^\$argon2(id|i|d)\$v=19\$m=(\d{1,7}),t=(\d{1,3}),p=(\d{1,3})\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{16,171}$/.exec(
      text,
    ) ?? [];
  return variant ? { variant, memory: Number(memory), passes: Number(passes), lanes: Number(lanes) } : undefined;
}

function readArgon2(text: string, ownMemory: number): StoredHash | undefined {
  const cost = argon2Cost(text);
  if (!cost) return undefined;
  const { memory, passes, lanes } = cost;
  return {
    scheme: "argon2",
    bearable: memory <= Math.max(mostMemory, ownMemory) && passes >= 1 && passes <= 10 && lanes >= 1 && lanes <= 4,
    fits: (password) => compareByBun(password, text),
  };
}

/** What bcrypt looks at. */
const bcryptBytes = 72;

/** `$2x$` is refused: it marks hashes of a faulty implementation, which are compared in another way. */
function readBcrypt(text: string): StoredHash | undefined {
  const [, cost] = /^\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}$/.exec(text) ?? [];
  if (!cost) return undefined;
  return {
    scheme: "bcrypt",
    bearable: Number(cost) >= 4 && Number(cost) <= 14,
    // Bun hashes longer texts first, which no other system does: so they are cut here, as those systems cut them, in
    // the middle of a character too. A NUL makes different texts one, because bcrypt repeats a text with its NUL.
    fits: async (password) => !password.includes(0) && (await compareByBun(password.subarray(0, bcryptBytes), text)),
  };
}

const derivePbkdf2 = promisify(pbkdf2);

/** `$pbkdf2-sha256$i=27500,l=64$salt$hash` */
function readPbkdf2(text: string): StoredHash | undefined {
  const [, digest, iterations, length, salt, hash] =
    /^\$pbkdf2-(sha1|sha256|sha512)\$i=(\d{1,8}),l=(\d{1,3})\$([^$]{1,172})\$([^$]{1,172})$/.exec(text) ?? [];
  const [saltBytes, hashBytes] = [base64(salt), base64(hash)];
  if (!digest || !saltBytes || !hashBytes || hashBytes.length < 16 || hashBytes.length !== Number(length)) {
    return undefined;
  }
  return {
    scheme: "pbkdf2",
    bearable: Number(iterations) >= 1 && Number(iterations) <= 2_000_000,
    fits: async (password) =>
      timingSafeEqual(await derivePbkdf2(password, saltBytes, Number(iterations), hashBytes.length, digest), hashBytes),
  };
}

type ScryptCost = { readonly log: number; readonly block: number; readonly lanes: number };

const isBearableScrypt = ({ log, block, lanes }: ScryptCost): boolean =>
  log >= 1 && log <= 20 && block >= 1 && 2 ** log * block * 128 <= mostMemory * 1024 && lanes >= 1 && lanes <= 4;

async function deriveScrypt(password: Buffer, salt: Buffer, length: number, cost: ScryptCost): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const { log, block: r, lanes: p } = cost;
  const N = 2 ** log;
  scrypt(password, salt, length, { N, r, p, maxmem: 128 * r * (N + p + 2) }, (error, key) =>
    error ? reject(error) : resolve(key),
  );
  return await promise;
}

/** `$scrypt$ln=14,r=16,p=1$salt$hash` */
function readScrypt(text: string): StoredHash | undefined {
  const [, log, block, lanes, salt, hash] =
    /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,3}),p=(\d{1,3})\$([^$]{1,172})\$([^$]{1,172})$/.exec(text) ?? [];
  const [saltBytes, hashBytes] = [base64(salt), base64(hash)];
  if (!saltBytes || !hashBytes || hashBytes.length < 16) return undefined;
  const cost = { log: Number(log), block: Number(block), lanes: Number(lanes) };
  return {
    scheme: "scrypt",
    bearable: isBearableScrypt(cost),
    fits: async (password) =>
      timingSafeEqual(await deriveScrypt(password, saltBytes, hashBytes.length, cost), hashBytes),
  };
}

/**
 * `$fbscrypt$v=1,n=14,r=8,p=1,ss=Bw==,sk=…$salt$hash`, as Supabase writes what comes from Firebase: scrypt of the
 * password and of the salt with the project's separator gives a key, and the hash is the project's signer key,
 * encrypted with it.
 */
function readFirebase(text: string): StoredHash | undefined {
  const [, log, block, lanes, separator, signerKey, salt, hash] =
    /^\$fbscrypt\$v=1,n=(\d{1,2}),r=(\d{1,3}),p=(\d{1,3}),ss=([^,$]{0,88}),sk=([^,$]{1,172})\$([^$]{1,172})\$([^$]{1,172})$/.exec(
      text,
    ) ?? [];
  const [key, hashBytes] = [base64(signerKey), base64(hash)];
  const [saltBytes, separatorBytes] = [base64(salt), separator === "" ? Buffer.alloc(0) : base64(separator)];
  if (!key || !hashBytes || !saltBytes || !separatorBytes || key.length < 16 || hashBytes.length !== key.length) {
    return undefined;
  }
  const cost = { log: Number(log), block: Number(block), lanes: Number(lanes) };
  return {
    scheme: "fbscrypt",
    bearable: isBearableScrypt(cost),
    fits: async (password) => {
      const derived = await deriveScrypt(password, Buffer.concat([saltBytes, separatorBytes]), 32, cost);
      const cipher = createCipheriv("aes-256-ctr", derived, Buffer.alloc(16));
      return timingSafeEqual(Buffer.concat([cipher.update(key), cipher.final()]), hashBytes);
    },
  };
}

/** Standard base64, padded or not; `undefined` where it is anything else. */
function base64(text: string | undefined): Buffer | undefined {
  if (!text || !/^[A-Za-z0-9+/]+={0,2}$/.test(text)) return undefined;
  const bytes = Buffer.from(text, "base64");
  return bytes.length > 0 && bytes.toString("base64").replace(/=+$/, "") === text.replace(/=+$/, "")
    ? bytes
    : undefined;
}

/** Bun throws where a hash cannot be read, which is no match; anything else that it throws is a defect. */
async function compareByBun(password: Buffer, text: string): Promise<boolean> {
  try {
    return await Bun.password.verify(password, text);
  } catch (error) {
    if (error instanceof Error && "code" in error && String(error.code).startsWith("PASSWORD_")) return false;
    throw error;
  }
}
