import { expect, test } from "bun:test";
import { formatSize } from "../../src/config/sizes.ts";

const mebibyte = 1024 ** 2;

test.each([
  [0, "0 B"],
  [1023, "1023 B"],
  [1024, "1.0 KiB"],
  [1536, "1.5 KiB"],
  [mebibyte - 103, "1023.9 KiB"],
  [mebibyte - 1, "1.0 MiB"],
  [12.3 * mebibyte, "12.3 MiB"],
  [1023.94 * mebibyte, "1023.9 MiB"],
  [1023.96 * mebibyte, "1.0 GiB"],
  [5e12, "4.5 TiB"],
  [9e15, "8185.5 TiB"],
])("%d bytes are told as %s", (bytes, told) => {
  expect(formatSize(bytes)).toBe(told);
});
