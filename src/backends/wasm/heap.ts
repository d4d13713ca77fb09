// Which bytes of the linear memory are whose. Small blocks come from slabs of one size each; large ones from the lowest gap that holds them,
// and a freed one joins its neighbours. So a step that repeats its allocations gets the same addresses each time, and nothing fragments.

/** Every block begins at a multiple of this: a cache line, so that no two threads write into one. */
const ALIGN = 64;
const SMALL = 8192;
const SLAB = 65536;

interface Slab {
  readonly start: number;
  readonly size: number;
  readonly free: number[];
  live: number;
}

export class Heap {
  /** Gaps by address: where they begin, and how long they are. No two touch. */
  readonly #starts: number[] = [];
  readonly #lengths: number[] = [];
  readonly #large = new Map<number, number>();
  /** By size: slabs with a free block, the last one used first. */
  readonly #open = new Map<number, Slab[]>();
  readonly #slabs = new Map<number, Slab>();
  #end: number;
  readonly #grow: (end: number) => boolean;

  /** Blocks lie from `start` on. `grow(end)` makes memory up to `end` usable, or says that it cannot. */
  constructor(start: number, grow: (end: number) => boolean) {
    this.#end = Math.ceil(start / ALIGN) * ALIGN;
    this.#grow = grow;
  }

  /** The highest address that was ever in use. */
  get end(): number {
    return this.#end;
  }

  get largestGap(): number {
    return Math.max(0, ...this.#lengths);
  }

  /** The address of a block, or undefined if there is no room. */
  alloc(byteLength: number): number | undefined {
    const size = Math.max(ALIGN, Math.ceil(byteLength / ALIGN) * ALIGN);
    return size <= SMALL ? this.#allocSmall(sizeClass(size)) : this.#allocLarge(size);
  }

  free(address: number): void {
    const slab = this.#slabs.get(address - (address % SLAB));
    if (slab === undefined) this.#freeLarge(address);
    else this.#freeSmall(slab, address);
  }

  #allocSmall(size: number): number | undefined {
    let open = this.#open.get(size);
    if (open === undefined) this.#open.set(size, (open = []));
    if (open.length === 0) {
      const start = this.#allocLarge(SLAB, SLAB);
      if (start === undefined) return undefined;
      const free = Array.from({ length: Math.floor(SLAB / size) }, (_, i) => start + i * size).reverse();
      const slab: Slab = { start, size, free, live: 0 };
      this.#slabs.set(start, slab);
      open.push(slab);
    }
    const slab = open[open.length - 1];
    slab.live++;
    const address = slab.free.pop()!;
    if (slab.free.length === 0) open.pop();
    return address;
  }

  #freeSmall(slab: Slab, address: number): void {
    const open = this.#open.get(slab.size)!;
    if (slab.free.length === 0) open.push(slab);
    slab.free.push(address);
    // One empty slab of each size stays, so that a single block that comes and goes costs nothing.
    if (--slab.live > 0 || open.length === 1) return;
    open.splice(open.indexOf(slab), 1);
    this.#slabs.delete(slab.start);
    this.#freeLarge(slab.start);
  }

  #allocLarge(size: number, align: number = ALIGN): number | undefined {
    for (let i = 0; i < this.#starts.length; i++) {
      const start = Math.ceil(this.#starts[i] / align) * align;
      const end = this.#starts[i] + this.#lengths[i];
      if (start + size <= end) {
        this.#take(i, start, size);
        return start;
      }
    }
    const last = this.#starts.length - 1;
    const reaches = last >= 0 && this.#starts[last] + this.#lengths[last] === this.#end;
    const from = reaches ? this.#starts[last] : this.#end;
    const start = Math.ceil(from / align) * align;
    if (!this.#grow(start + size)) return undefined;
    if (reaches) this.#drop(last);
    if (start > from) this.#insert(this.#starts.length, from, start - from);
    this.#end = start + size;
    this.#large.set(start, size);
    return start;
  }

  /** Cuts a block out of gap i. */
  #take(i: number, start: number, size: number): void {
    const from = this.#starts[i];
    const end = from + this.#lengths[i];
    this.#drop(i);
    if (start + size < end) this.#insert(i, start + size, end - start - size);
    if (from < start) this.#insert(i, from, start - from);
    this.#large.set(start, size);
  }

  #freeLarge(address: number): void {
    let length = this.#large.get(address)!;
    this.#large.delete(address);
    let start = address;
    let i = this.#firstAfter(address);
    if (i < this.#starts.length && this.#starts[i] === start + length) {
      length += this.#lengths[i];
      this.#drop(i);
    }
    if (i > 0 && this.#starts[i - 1] + this.#lengths[i - 1] === start) {
      i--;
      start = this.#starts[i];
      length += this.#lengths[i];
      this.#drop(i);
    }
    this.#insert(i, start, length);
  }

  #firstAfter(address: number): number {
    let low = 0;
    let high = this.#starts.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#starts[middle] < address) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #drop(i: number): void {
    this.#starts.splice(i, 1);
    this.#lengths.splice(i, 1);
  }

  #insert(i: number, start: number, length: number): void {
    this.#starts.splice(i, 0, start);
    this.#lengths.splice(i, 0, length);
  }
}

/** Four sizes to an octave, so that at most a fifth of a small block is unused. */
function sizeClass(size: number): number {
  const step = Math.max(ALIGN, 2 ** (Math.floor(Math.log2(size - 1)) - 2));
  return Math.ceil(size / step) * step;
}
