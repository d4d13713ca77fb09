// Which slots of the pools are taken, and by how many tokens of how many texts. They are handed out by pages; a page of one is a slot.

export class Slots {
  readonly #pageSize: number;
  readonly #holders: number[] = [];
  /** Of each page: how many of its slots are held. */
  readonly #taken: number[] = [];
  #freePages: number[] = [];

  constructor(pageSize: number) {
    this.#pageSize = pageSize;
  }

  /** How many slots there are. */
  get capacity(): number {
    return this.#holders.length;
  }

  get freePages(): number {
    return this.#freePages.length;
  }

  /** Adds free pages, which are taken in ascending order. `capacity` is a multiple of the page size. */
  growTo(capacity: number): void {
    const pages = capacity / this.#pageSize;
    const added = Array.from({ length: Math.max(0, pages - this.#taken.length) }, (_, i) => pages - 1 - i);
    this.#freePages = [...added, ...this.#freePages];
    while (this.#taken.length < pages) this.#taken.push(0);
    while (this.#holders.length < capacity) this.#holders.push(0);
  }

  /**
   * Of a text whose last slot is `after`, the next: that behind it if it lies in the same page and is free, else the first of a free page.
   * The caller has made sure that there is one, and holds what it takes.
   */
  take(after: number | undefined): number {
    const next = after === undefined ? 0 : after + 1;
    const goesOn = next % this.#pageSize !== 0 && this.#holders[next] === 0;
    return goesOn ? next : (this.#freePages.pop() as number) * this.#pageSize;
  }

  /** At most how many free pages the next `count` tokens of a text take whose last slot is `after`. */
  pagesFor(count: number, after: number | undefined): number {
    let room = 0;
    // Where others end in the same slot, they may be first.
    if (after !== undefined && this.#holders[after] === 1)
      for (let slot = after + 1; slot % this.#pageSize !== 0 && this.#holders[slot] === 0; slot++) room++;
    return Math.ceil(Math.max(0, count - room) / this.#pageSize);
  }

  hold(slot: number): void {
    if (this.#holders[slot]++ === 0) this.#taken[this.#pageOf(slot)]++;
  }

  release(slot: number): void {
    if (--this.#holders[slot] > 0) return;
    if (--this.#taken[this.#pageOf(slot)] === 0) this.#freePages.push(this.#pageOf(slot));
  }

  #pageOf(slot: number): number {
    return Math.floor(slot / this.#pageSize);
  }
}
