// Counter-based random numbers: the n-th number of a seed is a pure function of (seed, n), so a stream is resumed by storing one integer
// and every backend starts from identical bits.

/** Philox-2x32 with 10 rounds (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"). */
function philox(seed: number, counter: number, out: Uint32Array): void {
  let low = counter >>> 0;
  let high = Math.floor(counter / 0x1_0000_0000) >>> 0;
  let key = seed >>> 0;
  for (let round = 0; round < 10; round++) {
    const productLow = Math.imul(0xd256d193, low) >>> 0;
    const productHigh = mulHigh(0xd256d193, low);
    low = (productHigh ^ key ^ high) >>> 0;
    high = productLow;
    key = (key + 0x9e3779b9) >>> 0;
  }
  out[0] = low;
  out[1] = high;
}

/** The upper 32 bits of a 32 x 32 bit product, from 16-bit halves. */
function mulHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const carry = (middle & 0xffff) + aLow * bHigh;
  return (aHigh * bHigh + Math.floor(middle / 0x10000) + Math.floor(carry / 0x10000)) >>> 0;
}

/** What a generator needs to go on from where it stood; plain JSON. */
export type RandomState = { readonly seed: number; readonly counter: number };

/**
 * A seedable stream of numbers on the host. Two streams of one state give the same uniform numbers on every machine; normal ones go through
 * the engine's logarithm and cosine.
 */
export class Random {
  readonly #words = new Uint32Array(2);
  readonly seed: number;
  #counter: number;

  /** @param seed an integer; its low 32 bits count. @param counter how many draws lie behind. */
  constructor(seed: number, counter = 0) {
    this.seed = seed >>> 0;
    this.#counter = counter;
  }

  static fromState(state: RandomState): Random {
    return new Random(state.seed, state.counter);
  }

  get state(): RandomState {
    return { seed: this.seed, counter: this.#counter };
  }

  /** Uniform in [0, 1), with 53 random bits. */
  uniform(): number {
    philox(this.seed, this.#counter++, this.#words);
    return ((this.#words[0] >>> 5) * 0x4000000 + (this.#words[1] >>> 6)) / 0x20000000000000;
  }

  /** A uniform integer in [0, bound). */
  integer(bound: number): number {
    return Math.floor(this.uniform() * bound);
  }

  /** Normal with mean 0 and variance 1, by Box and Muller; takes two draws. */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    return radius * Math.cos(2 * Math.PI * this.uniform());
  }

  /** A stream of its own for `name`: independent of how much was drawn from this one. */
  fork(name: string): Random {
    let hash = this.seed ^ 0x811c9dc5;
    for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
    philox(hash, name.length, this.#words);
    return new Random(this.#words[0]);
  }
}
