/** Backups as files: gzip inside age (age-encryption.org/v1), so that `age -d FILE | gunzip` reads them without us. */

import { mkdirSync } from "node:fs";
import { type FileHandle, open, readdir, rename, stat, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { Decrypter, Encrypter, type Identity } from "age-encryption";
import type { Archive, Draft, Shelf } from "../core/backups/archive.ts";

/** What a backup is encrypted to. In the clear where there is neither. */
export type Locks = { readonly passphrase?: string | undefined; readonly recipients?: readonly string[] };
/** What opens it. */
export type Keys = { readonly passphrase?: string | undefined; readonly identities?: readonly string[] };

/** Built by whoever owns the catalogue of failures. */
export type BackupFailures = {
  /** `code` is what the system calls it, such as ENOSPC. */
  readonly unwritten: (directory: string, code: string) => Error;
  readonly unreadable: (file: string, code: string) => Error;
  readonly wrongKey: () => Error;
  readonly damaged: (what: string) => Error;
  readonly badRecipient: () => Error;
  readonly badIdentity: () => Error;
};

type ByteStream = ReadableStream<Uint8Array<ArrayBuffer>>;

/** No row of ours is longer, in characters. */
const longestLine = 8 * 1024 * 1024;

export type ShelfOptions = {
  readonly directory: string;
  /** Stands in the name of every file, so that those of another database are left alone. */
  readonly database: string;
  readonly locks: Locks;
};

export function backupShelf({ directory, database, locks }: ShelfOptions, failures: BackupFailures): Shelf {
  const encrypted = locks.passphrase !== undefined || (locks.recipients ?? []).length > 0;
  const ending = encrypted ? ".ndjson.gz.age" : ".ndjson.gz";
  const prefix = `authctl-${database}-`;
  const isOurs = (name: string): boolean =>
    name.startsWith(prefix) && /^\d{8}T\d{9}Z\.ndjson\.gz(\.age)?$/.test(name.slice(prefix.length));

  return {
    async draft(madeAt, text): Promise<Draft> {
      const name = join(directory, prefix + madeAt.toISOString().replace(/[-:.]/g, "") + ending);
      const aside = join(directory, `.${basename(name)}.partial`);
      const discard = () => unlink(aside).catch(() => {});
      try {
        mkdirSync(directory, { recursive: true, mode: 0o700 });
        await removePartials(directory, prefix);
        const { keys, bytes } = await writeAside(aside, text, locks, failures);
        const archive = { ...backupFile(aside, keys, failures), name };
        const keep = () => settle(aside, name).catch((error: unknown) => reject(error, directory, failures));
        return { archive, bytes, keep, discard };
      } catch (error) {
        await discard();
        return reject(error, directory, failures);
      }
    },
    async prune(keep) {
      const older = (await readdir(directory)).filter(isOurs).toSorted().toReversed().slice(keep);
      for (const name of older) await unlink(join(directory, name));
      return older.map((name) => join(directory, name));
    },
  };
}

/** A failure of the system is told by its code; any other is passed on. */
function reject(error: unknown, directory: string, failures: BackupFailures): never {
  throw isSystemError(error) ? failures.unwritten(directory, error.code) : error;
}

const isSystemError = (error: unknown): error is Error & { readonly code: string } =>
  error instanceof Error && "syscall" in error && "code" in error && typeof error.code === "string";

/** What runs that were killed have left. */
async function removePartials(directory: string, prefix: string): Promise<void> {
  const left = (await readdir(directory)).filter((name) => name.startsWith(`.${prefix}`) && name.endsWith(".partial"));
  for (const name of left) await unlink(join(directory, name));
}

async function writeAside(
  file: string,
  text: AsyncIterable<string>,
  locks: Locks,
  failures: BackupFailures,
): Promise<{ keys: Keyed; bytes: number }> {
  const encrypter = encrypterOf(locks, failures);
  const handle = await open(file, "wx", 0o600);
  try {
    const { stream, keys } = await encrypter(compressed(text));
    let bytes = 0;
    for await (const chunk of stream) {
      await writeWhole(handle, chunk);
      bytes += chunk.length;
    }
    await handle.sync();
    return { keys, bytes };
  } finally {
    await handle.close();
  }
}

/** A disk that is almost full takes a part, and refuses the rest at the next call. */
async function writeWhole(handle: FileHandle, chunk: Uint8Array): Promise<void> {
  for (let at = 0; at < chunk.length; ) at += (await handle.write(chunk, at)).bytesWritten;
}

async function settle(aside: string, name: string): Promise<void> {
  await rename(aside, name);
  const directory = await open(dirname(name), "r");
  try {
    // The name, too, is to outlive a loss of power.
    await directory.sync();
  } finally {
    await directory.close();
  }
}

const compressed = (text: AsyncIterable<string>): ByteStream =>
  streamOf(text).pipeThrough(new TextEncoderStream()).pipeThrough(new CompressionStream("gzip"));

function streamOf<T>(source: AsyncIterable<T>): ReadableStream<T> {
  const iterator = source[Symbol.asyncIterator]();
  return new ReadableStream<T>({
    async pull(controller) {
      const { value, done } = await iterator.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    async cancel() {
      await iterator.return?.();
    },
  });
}

/** What opens a file. */
type Keyed = Keys | { readonly fileKey: Uint8Array };

type Encrypting = (stream: ByteStream) => Promise<{ readonly stream: ByteStream; readonly keys: Keyed }>;

function encrypterOf({ passphrase, recipients = [] }: Locks, failures: BackupFailures): Encrypting {
  if (passphrase === undefined && recipients.length === 0) return (stream) => Promise.resolve({ stream, keys: {} });
  const encrypter = new Encrypter();
  if (passphrase !== undefined) {
    encrypter.setPassphrase(passphrase);
    return async (stream) => ({ stream: (await encrypter.encrypt(stream)) as ByteStream, keys: { passphrase } });
  }
  for (const one of recipients) understood(() => encrypter.addRecipient(one), failures.badRecipient);
  // Nobody here holds an identity of a recipient: to read back what was written, the key of this one file is noted.
  let fileKey = new Uint8Array();
  encrypter.addRecipient({
    wrapFileKey(key) {
      fileKey = Uint8Array.from(key);
      return [];
    },
  });
  return async (stream) => {
    const sealed = (await encrypter.encrypt(stream)) as ByteStream;
    return { stream: sealed, keys: { fileKey } };
  };
}

function understood(take: () => void, failure: () => Error): void {
  try {
    take();
  } catch {
    throw failure();
  }
}

/** One file, opened by `keys`. */
export function backupFile(file: string, keys: Keyed, failures: BackupFailures): Archive {
  return {
    name: file,
    async *lines() {
      const isEncrypted = await startsEncrypted(file, failures);
      const raw = Bun.file(file).stream();
      const plain = isEncrypted ? await decrypted(raw, keys, failures) : raw;
      try {
        yield* linesOf(plain.pipeThrough(new DecompressionStream("gzip")));
      } catch (error) {
        // Neither of the two layers says more than that it does not fit.
        throw isSystemError(error) ? failures.unreadable(file, error.code) : layerError(error, failures);
      }
    },
  };
}

class Foreign extends Error {}

const layerError = (error: unknown, failures: BackupFailures): unknown =>
  error instanceof Foreign ? failures.damaged(error.message) : failures.damaged("was cut off or changed");

async function startsEncrypted(file: string, failures: BackupFailures): Promise<boolean> {
  let start: Buffer;
  try {
    if (!(await stat(file)).isFile()) throw failures.damaged("is no file");
    start = Buffer.from(await Bun.file(file).slice(0, 32).arrayBuffer());
  } catch (error) {
    throw isSystemError(error) ? failures.unreadable(file, error.code) : error;
  }
  if (start.toString("latin1").startsWith("age-encryption.org/v1\n")) return true;
  if (start[0] === 0x1f && start[1] === 0x8b) return false;
  throw failures.damaged("is no backup");
}

async function decrypted(stream: ByteStream, keys: Keyed, failures: BackupFailures): Promise<ByteStream> {
  const decrypter = new Decrypter();
  if ("fileKey" in keys) decrypter.addIdentity({ unwrapFileKey: () => keys.fileKey } satisfies Identity);
  else {
    if (keys.passphrase !== undefined) decrypter.addPassphrase(keys.passphrase);
    for (const one of keys.identities ?? []) understood(() => decrypter.addIdentity(one), failures.badIdentity);
  }
  try {
    return (await decrypter.decrypt(stream)) as ByteStream;
  } catch (error) {
    const isOthers = error instanceof Error && error.message.startsWith("no identity matched");
    throw isOthers ? failures.wrongKey() : failures.damaged("was cut off or changed");
  }
}

async function* linesOf(bytes: ByteStream): AsyncGenerator<readonly string[]> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let rest = "";
  for await (const chunk of bytes) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    if (rest.length > longestLine) throw new Foreign("holds a line that is none of a backup");
    yield lines;
  }
  if (rest !== "") throw new Foreign("was cut off or changed");
}
