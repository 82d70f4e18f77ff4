/** Hashes as other systems write them, brought into the text forms that core/stored-hashes.ts reads. */

/** Base64 of either alphabet, as the standard one without padding. */
export const plainBase64 = (text: string): string => text.replaceAll("-", "+").replaceAll("_", "/").replace(/=+$/, "");

const bytesLong = (base64: string): number => Buffer.from(base64, "base64").length;

/** `salt` and `hash` in base64. */
export function pbkdf2Text(digest: string, iterations: number | string, salt: string, hash: string): string {
  return `$pbkdf2-${digest}$i=${iterations},l=${bytesLong(hash)}$${plainBase64(salt)}$${plainBase64(hash)}`;
}

/** `N` is the cost itself, of which PHC strings hold the logarithm; `salt` and `hash` in base64. */
export function scryptText(
  { N, r, p }: { readonly N: number; readonly r: number; readonly p: number },
  salt: string,
  hash: string,
): string {
  return `$scrypt$ln=${Math.log2(N)},r=${r},p=${p}$${plainBase64(salt)}$${plainBase64(hash)}`;
}

/** A text that carries its own parameters. Most are in our form; passlib spells PBKDF2 in its own way. */
export function modularText(text: string): string {
  const [, digest = "-sha1", iterations, salt, hash] =
    /^\$pbkdf2(-sha256|-sha512)?\$(\d+)\$([A-Za-z0-9./]+)\$([A-Za-z0-9./]+)$/.exec(text) ?? [];
  if (iterations === undefined || !salt || !hash) return text;
  return pbkdf2Text(digest.slice(1), iterations, salt.replaceAll(".", "+"), hash.replaceAll(".", "+"));
}
