import { createHash } from "node:crypto";

/**
 * Which texts have been seen, by 64 bits of their hash: at most 32 bytes for each, so that a file of a million users
 * is remembered in the memory of a few hundred. Two texts of ten million are taken for one with a chance of 1 in 300,000.
 */
export class Seen {
  #slots = new BigUint64Array(1 << 10);
  #used = 0;

  has(text: string): boolean {
    const mark = markOf(text);
    return this.#slots[this.#slotOf(mark)] === mark;
  }

  add(text: string): void {
    if (2 * (this.#used + 1) > this.#slots.length) this.#grow();
    const mark = markOf(text);
    const slot = this.#slotOf(mark);
    if (this.#slots[slot] === mark) return;
    this.#slots[slot] = mark;
    this.#used++;
  }

  /** The slot that holds the mark, else the free one that it belongs into. */
  #slotOf(mark: bigint): number {
    const last = this.#slots.length - 1;
    let slot = Number(mark & BigInt(last));
    while (this.#slots[slot] !== 0n && this.#slots[slot] !== mark) slot = (slot + 1) & last;
    return slot;
  }

  #grow(): void {
    const marks = this.#slots;
    this.#slots = new BigUint64Array(2 * marks.length);
    for (const mark of marks) if (mark !== 0n) this.#slots[this.#slotOf(mark)] = mark;
  }
}

/** Never 0, which marks a free slot. */
const markOf = (text: string): bigint => createHash("sha256").update(text).digest().readBigUInt64LE() || 1n;
