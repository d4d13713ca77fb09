// Cost follows what is visible: the most memory that reading a long text in chunks takes, with a window and global tokens, beside full attention.
import { disposeAll, Qwen3, sequencePositions, type Backend, type CacheKind, type Positions } from "qwen-blocks";
import { wasm } from "qwen-blocks/wasm";
import { afterAll, beforeAll, expect, test } from "vitest";
import { denseConfig, livelyWeights } from "../models/tiny.js";

let backend: Backend;
beforeAll(async () => {
  backend = await wasm({ threads: 1 });
});
afterAll(() => backend[Symbol.asyncDispose]());

const length = 2000;
const window = 100;
const chunk = 64;

/** The most that `usage()` shows over what it shows before the first token. */
async function peakOf(kind: CacheKind, slidingWindow?: number): Promise<number> {
  const config = denseConfig({ maxPositionEmbeddings: length + 10, ...(slidingWindow && { slidingWindow }) });
  const model = new Qwen3(livelyWeights(backend, 1), config);
  model.layers[0].selfAttn.rope.table(length + 10);
  using cache = model.makeCache({ kind });
  const { memory } = backend;
  const before = memory.usage().bytes;
  const alloc = memory.alloc.bind(memory);
  let peak = 0;
  memory.alloc = (byteLength) => {
    const made = alloc(byteLength);
    peak = Math.max(peak, memory.usage().bytes - before);
    return made;
  };
  const read = async (count: number): Promise<void> => {
    const positions = sequencePositions(1, count, { start: cache.lengths });
    const marked: Positions = { ...positions, segment: positions.position.map((p) => (p % 100 === 0 ? ~0 : 0)) };
    using logits = model.forward([new Int32Array(count)], { cache, logits: "last", positions: marked });
    await logits.data();
  };
  try {
    for (let from = 0; from < length; from += chunk) await read(Math.min(chunk, length - from));
    for (let i = 0; i < 10; i++) await read(1);
  } finally {
    memory.alloc = alloc;
  }
  disposeAll(model);
  return peak;
}

test("a ring of a window takes at most 40 % of what full attention takes", async () => {
  const full = await peakOf("dense");
  expect(await peakOf("ring", window)).toBeLessThan(0.4 * full);
});
