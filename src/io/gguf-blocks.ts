// Where the bits of GGUF's blocks lie. A layout is a list of pieces, bits within one byte of the file and one byte of a part; the same list takes
// a block apart and puts it together. Pieces at equal distances go by runs, for speed. Layouts: ggml-common.h and the gguf package.

/** Pieces that differ in their bytes alone, by equal steps. */
interface Run {
  readonly part: number;
  /** Of the piece's lowest bit in its byte of the file, and of the part. */
  readonly fileShift: number;
  readonly partShift: number;
  readonly mask: number;
  /** The first piece's bytes. */
  readonly fileByte: number;
  readonly partByte: number;
  fileStep: number;
  partStep: number;
  count: number;
}

/** Bytes of one part that a block fills; words are little-endian, as every engine's are. */
export interface BlockLayout {
  /** Of the file, for one block. */
  readonly bytes: number;
  /** Per part. */
  readonly partBytes: readonly number[];
  /** Per part, bits that the file has the other way round. */
  readonly flips: readonly (Uint8Array | undefined)[];
  readonly runs: readonly Run[];
}

/** Collects the pieces of a layout. */
class Layout {
  /** The run that a further piece with the same bits may continue. */
  readonly #open = new Map<string, Run>();
  readonly #runs: Run[] = [];
  readonly #bytes: number;
  readonly #partBits: readonly number[];

  constructor(bytes: number, partBits: readonly number[]) {
    this.#bytes = bytes;
    this.#partBits = partBits;
  }

  /** Bits of the file, counted from its block's first, that become bits of a part; cut where bytes end on either side. */
  move(fileBit: number, part: number, partBit: number, bits: number): this {
    for (let done = 0; done < bits;) {
      const [from, to] = [fileBit + done, partBit + done];
      const count = Math.min(bits - done, 8 - (from % 8), 8 - (to % 8));
      this.#add(from, part, to, 2 ** count - 1);
      done += count;
    }
    return this;
  }

  #add(from: number, part: number, to: number, mask: number): void {
    const [fileShift, partShift, fileByte, partByte] = [from & 7, to & 7, from >>> 3, to >>> 3];
    const key = [part, fileShift, partShift, mask].join();
    const run = this.#open.get(key);
    if (run?.count === 1) [run.fileStep, run.partStep] = [fileByte - run.fileByte, partByte - run.partByte];
    if (
      run !== undefined &&
      fileByte === run.fileByte + run.count * run.fileStep &&
      partByte === run.partByte + run.count * run.partStep
    ) {
      run.count++;
      return;
    }
    const next: Run = { part, fileShift, partShift, mask, fileByte, partByte, fileStep: 0, partStep: 0, count: 1 };
    this.#runs.push(next);
    this.#open.set(key, next);
  }

  /** Codes of 4 bits: byte j holds element j in its lower half and element j + half in its upper, for each 2 half elements from byte `at` on. */
  nibbles(at: number, elements: number, half: number, bits: number): this {
    for (let i = 0; i < elements; i++) {
      const [group, upper, j] = [Math.floor(i / (2 * half)), Math.floor(i / half) % 2, i % half];
      this.move(8 * (at + group * half + j) + 4 * upper, 0, bits * i, 4);
    }
    return this;
  }

  /** @param flips per part, the bit to turn in each of its numbers of so many bits */
  build(flips: readonly ({ readonly every: number; readonly bit: number } | undefined)[] = []): BlockLayout {
    const partBytes = this.#partBits.map((bits) => bits / 8);
    return {
      bytes: this.#bytes,
      partBytes,
      flips: partBytes.map((bytes, part) => {
        const flip = flips[part];
        if (flip === undefined) return undefined;
        const pattern = new Uint8Array(bytes);
        for (let bit = flip.bit; bit < 8 * bytes; bit += flip.every) pattern[bit >>> 3] |= 1 << (bit & 7);
        return pattern;
      }),
      runs: this.#runs,
    };
  }
}

/** A block of 32 codes of 4 bits behind `numbers` f16 numbers, which are the parts behind the codes; a fifth bit in a word of its own. */
function simple(numbers: number, bits: 4 | 5): BlockLayout {
  const head = 2 * numbers;
  const fifth = bits === 5 ? 4 : 0;
  const layout = new Layout(head + fifth + 16, [32 * bits, ...new Array<number>(numbers).fill(16)]);
  for (let i = 0; i < numbers; i++) layout.move(16 * i, 1 + i, 0, 16);
  layout.nibbles(head + fifth, 32, 16, bits);
  if (fifth > 0) for (let i = 0; i < 32; i++) layout.move(8 * head + i, 0, 5 * i + 4, 1);
  // Q5_0's codes count from 0; the part has them as signed numbers.
  return layout.build(numbers === 1 && bits === 5 ? [{ every: 5, bit: 4 }] : []);
}

function q8(): BlockLayout {
  return new Layout(34, [256, 16]).move(0, 1, 0, 16).move(16, 0, 0, 256).build();
}

function mx(): BlockLayout {
  return new Layout(17, [128, 8]).move(0, 1, 0, 8).nibbles(1, 32, 16, 4).build();
}

/** Q4_K and Q5_K: parts code, scale, superscale, offset, superoffset. The file subtracts what the scheme adds. */
function affineK(bits: 4 | 5): BlockLayout {
  const codes = bits === 5 ? 48 : 16;
  const layout = new Layout(codes + 128, [256 * bits, 48, 16, 48, 16]).move(0, 2, 0, 16).move(16, 4, 0, 16);
  for (let i = 0; i < 4; i++) {
    // Scales and offsets of 6 bits: the first four of each whole, the lower bits of the others behind them, their upper two bits above the first.
    const [first, second, third] = [8 * (4 + i), 8 * (8 + i), 8 * (12 + i)];
    layout.move(first, 1, 6 * i, 6).move(second, 3, 6 * i, 6);
    layout.move(third, 1, 6 * (i + 4), 4).move(first + 6, 1, 6 * (i + 4) + 4, 2);
    layout.move(third + 4, 3, 6 * (i + 4), 4).move(second + 6, 3, 6 * (i + 4) + 4, 2);
  }
  layout.nibbles(codes, 256, 32, bits);
  // The fifth bits of block b are bit b of each of 32 bytes.
  if (bits === 5) for (let i = 0; i < 256; i++) layout.move(8 * (16 + (i % 32)) + Math.floor(i / 32), 0, 5 * i + 4, 1);
  return layout.build([undefined, undefined, undefined, undefined, { every: 16, bit: 15 }]);
}

function q6k(): BlockLayout {
  const layout = new Layout(210, [1536, 128, 16]).move(8 * 192, 1, 0, 128).move(8 * 208, 2, 0, 16);
  layout.nibbles(0, 256, 64, 6);
  for (let i = 0; i < 256; i++) {
    const [half, quarter, j] = [Math.floor(i / 128), Math.floor(i / 32) % 4, i % 32];
    layout.move(8 * (128 + 32 * half + j) + 2 * quarter, 0, 6 * i + 4, 2);
  }
  return layout.build([{ every: 6, bit: 5 }]);
}

/** Types of GGUF whose numbers lie in blocks. */
export type BlockDType = "Q8_0" | "Q4_0" | "Q4_1" | "Q5_0" | "Q5_1" | "MXFP4" | "Q4_K" | "Q5_K" | "Q6_K" | "IQ4_NL";

/** Made when first needed: few files hold more than two types. */
const makers: Readonly<Record<BlockDType, () => BlockLayout>> = {
  Q8_0: q8,
  Q4_0: () => simple(1, 4),
  Q4_1: () => simple(2, 4),
  Q5_0: () => simple(1, 5),
  Q5_1: () => simple(2, 5),
  MXFP4: mx,
  Q4_K: () => affineK(4),
  Q5_K: () => affineK(5),
  Q6_K: q6k,
  IQ4_NL: () => simple(1, 4),
};

const made = /* @__PURE__ */ new Map<BlockDType, BlockLayout>();

export function layoutOf(dtype: BlockDType): BlockLayout {
  const known = made.get(dtype);
  if (known !== undefined) return known;
  const layout = makers[dtype]();
  made.set(dtype, layout);
  return layout;
}

/** One block of the file, at `from`, into the bytes of each part, at `to[part]`, which must be 0. */
export function splitBlock(
  layout: BlockLayout,
  bytes: Uint8Array,
  from: number,
  parts: readonly Uint8Array[],
  to: readonly number[],
): void {
  const { runs, flips } = layout;
  flips.forEach((pattern, part) => pattern && parts[part].set(pattern, to[part]));
  for (const { part, fileShift, partShift, mask, fileByte, partByte, fileStep, partStep, count } of runs) {
    const stored = parts[part];
    let [source, target] = [from + fileByte, to[part] + partByte];
    for (let i = 0; i < count; i++) {
      stored[target] ^= ((bytes[source] >>> fileShift) & mask) << partShift;
      source += fileStep;
      target += partStep;
    }
  }
}

/** The inverse of {@link splitBlock}; the block in `bytes` must be 0. */
export function joinBlock(
  layout: BlockLayout,
  parts: readonly Uint8Array[],
  from: readonly number[],
  bytes: Uint8Array,
  to: number,
): void {
  for (const { part, fileShift, partShift, mask, fileByte, partByte, fileStep, partStep, count } of layout.runs) {
    const pattern = layout.flips[part];
    for (let i = 0; i < count; i++) {
      const byte = partByte + i * partStep;
      const stored = parts[part][from[part] + byte] ^ (pattern?.[byte] ?? 0);
      bytes[to + fileByte + i * fileStep] |= ((stored >>> partShift) & mask) << fileShift;
    }
  }
}
