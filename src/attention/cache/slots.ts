// Which slots of a pool are taken, and by how many tokens of how many batch rows.

export class Slots {
  readonly #holders: number[] = [];
  readonly #free: number[] = [];

  /** How many slots there are. */
  get capacity(): number {
    return this.#holders.length;
  }

  get available(): number {
    return this.#free.length;
  }

  /** Adds free slots; they are taken in ascending order. */
  growTo(capacity: number): void {
    const added = Array.from({ length: Math.max(0, capacity - this.capacity) }, (_, i) => capacity - 1 - i);
    this.#free.unshift(...added);
    while (this.#holders.length < capacity) this.#holders.push(0);
  }

  /** A free slot; the caller has made sure that there is one. */
  take(): number {
    const slot = this.#free.pop() as number;
    this.#holders[slot] = 1;
    return slot;
  }

  hold(slot: number): void {
    this.#holders[slot]++;
  }

  release(slot: number): void {
    if (--this.#holders[slot] === 0) this.#free.push(slot);
  }
}
