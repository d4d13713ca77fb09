// `--caches`: what each kind of cache costs in memory and time, by the packing of its pools; and what a window saves where a text is long.
import {
  DecodeStep, disposeAll, Qwen3, randomWeights, sequencePositions, type Backend, type CacheKind, type KVCache, type Positions,
  type Qwen3Config,
} from "qwen-blocks"; // prettier-ignore
import { libraryVersion, machineFacts, showFacts } from "./machine.js";
import { open } from "./open.js";
import type { BenchOptions } from "./options.js";
import { quartiles, showQuartiles, type Quartiles } from "./quartiles.js";

/** One narrow layer: caches and attention are most of the work. */
const narrow: Qwen3Config = {
  ...{ vocabSize: 64, hiddenSize: 64, intermediateSize: 64, numHiddenLayers: 1, numAttentionHeads: 2 },
  ...{ numKeyValueHeads: 2, headDim: 16, maxPositionEmbeddings: 131_072, rmsNormEps: 1e-6, initializerRange: 0.02 },
  ...{ tieWordEmbeddings: true, attentionBias: false, rope: { ropeType: "default", ropeTheta: 1e6 } },
  ...{ numExperts: 0, numExpertsPerTok: 0, moeIntermediateSize: 0, normTopkProb: false, decoderSparseStep: 1 },
  ...{ mlpOnlyLayers: [], routerAuxLossCoef: 0 },
};
const packings = [undefined, "q8_0", "q4_0"] as const;
const kinds = ["dense", "paged", "ring"] as const satisfies readonly CacheKind[];
const chunk = 512;
const decodedTokens = 100;
/** Where windows pay: this many tokens, of which a query sees the last so many, and the global ones. */
const long = { tokens: 100_000, window: 4096, globalEvery: 1000 } as const;

interface CacheReport {
  readonly kind: CacheKind;
  readonly window: number;
  readonly packing: string;
  /** Of the pools and tables behind the prompt. */
  readonly cacheBytes: number;
  readonly prefillTokensPerSecond: number;
  readonly millisecondsPerToken: Quartiles;
}

interface LongReport {
  readonly name: string;
  /** Of `usage()` and scratch, at any allocation. */
  readonly peakBytes: number;
  readonly prefillSeconds: number;
  readonly millisecondsPerToken: Quartiles;
}

export async function measureCaches(options: BenchOptions, print: (line: string) => void): Promise<object> {
  await using backend = await open(options.backend);
  const { tokens } = options;
  const facts = {
    tokens,
    long,
    backend: { name: backend.name, ...backend.info },
    machine: machineFacts(),
    library: libraryVersion(),
  };
  print(`qwen-blocks ${facts.library}\nbackend   ${showFacts(facts.backend)}\nmachine   ${showFacts(facts.machine)}\n`);
  const window = Math.max(1, Math.floor(tokens / 8));
  print(
    `${tokens} tokens, then ${decodedTokens} more; window ${window}: KiB of the cache, tokens/s of prefill, ms/token (quartiles)`,
  );
  const results: CacheReport[] = [];
  for (const kind of kinds)
    for (const seen of kind === "ring" ? [window] : [0, window])
      for (const packing of packings) {
        const report = await measureKind(backend, kind, seen, packing, tokens);
        print(showKind(report));
        results.push(report);
      }
  print(
    `\n${long.tokens} tokens, then ${decodedTokens} more; every ${long.globalEvery}th global: MiB at the peak, s of prefill, ms/token`,
  );
  const full = await measureLong(backend, "full attention, dense", 0, "dense");
  print(showLong(full));
  const windowed = await measureLong(backend, `window ${long.window}, ring`, long.window, "ring");
  print(showLong(windowed));
  const share = windowed.peakBytes / full.peakBytes;
  print(`  the peak of the window is ${(100 * share).toFixed(1)} % of that of full attention`);
  return { ...facts, results, behindLongText: [full, windowed], share };
}

async function measureKind(
  backend: Backend,
  kind: CacheKind,
  window: number,
  packing: (typeof packings)[number],
  tokens: number,
): Promise<CacheReport> {
  const model = windowedModel(backend, window);
  model.layers[0].selfAttn.rope.table(tokens + decodedTokens);
  const before = backend.memory.usage().bytes;
  const schemes = packing === undefined ? {} : { keyScheme: packing, valueScheme: packing };
  const cache = model.makeCache({ kind, maxLength: tokens + decodedTokens, ...schemes });
  const { prefillSeconds, millisecondsPerToken, bytes } = await run(model, cache, tokens, () => false);
  disposeAll(model);
  return {
    ...{ kind, window, packing: packing ?? "f32", cacheBytes: bytes - before },
    ...{ prefillTokensPerSecond: tokens / prefillSeconds, millisecondsPerToken },
  };
}

async function measureLong(backend: Backend, name: string, window: number, kind: CacheKind): Promise<LongReport> {
  using peak = new Peak(backend);
  const model = windowedModel(backend, window);
  const cache = model.makeCache({ kind, maxLength: long.tokens + decodedTokens });
  const isGlobal = (position: number): boolean => position % long.globalEvery === 0;
  const { prefillSeconds, millisecondsPerToken } = await run(model, cache, long.tokens, isGlobal);
  disposeAll(model);
  return { name, peakBytes: peak.bytes, prefillSeconds, millisecondsPerToken };
}

function windowedModel(backend: Backend, window: number): Qwen3 {
  const config = window > 0 ? { ...narrow, slidingWindow: window } : narrow;
  return new Qwen3(randomWeights(backend, 1, config), config);
}

interface Run {
  readonly prefillSeconds: number;
  readonly millisecondsPerToken: Quartiles;
  /** In use behind the prompt. */
  readonly bytes: number;
}

/** Reads the text in chunks and then token by token; disposes the cache. */
async function run(
  model: Qwen3,
  cache: KVCache,
  tokens: number,
  isGlobal: (position: number) => boolean,
): Promise<Run> {
  try {
    const marked = (count: number): Positions => {
      const positions = sequencePositions(1, count, { start: cache.lengths });
      return { ...positions, segment: positions.position.map((position) => (isGlobal(position) ? ~0 : 0)) };
    };
    const start = performance.now();
    for (let from = 0; from < tokens; from += chunk) {
      const ids = Int32Array.from({ length: Math.min(chunk, tokens - from) }, (_, i) => (from + i) % narrow.vocabSize);
      using logits = model.forward([ids], { cache, logits: "last", positions: marked(ids.length) });
      await logits.data();
    }
    const prefillSeconds = (performance.now() - start) / 1000;
    const { bytes } = model.backend.memory.usage();
    using step = new DecodeStep(model, cache, (logits) => logits);
    const times: number[] = [];
    for (let i = 0; i < decodedTokens; i++) {
      const begun = performance.now();
      await step.run([i % narrow.vocabSize], marked(1)).data();
      times.push(performance.now() - begun);
    }
    return { prefillSeconds, millisecondsPerToken: quartiles(times), bytes };
  } finally {
    cache.dispose();
  }
}

/** The most that `usage()` has shown at any allocation, with scratch. */
class Peak implements Disposable {
  bytes = 0;
  readonly #undo: () => void;

  constructor({ memory }: Backend) {
    const alloc = memory.alloc.bind(memory);
    this.#undo = () => void (memory.alloc = alloc);
    memory.alloc = (byteLength) => {
      const made = alloc(byteLength);
      const { bytes, scratch } = memory.usage();
      this.bytes = Math.max(this.bytes, bytes + scratch);
      return made;
    };
  }

  [Symbol.dispose](): void {
    this.#undo();
  }
}

function showKind({
  kind,
  window,
  packing,
  cacheBytes,
  prefillTokensPerSecond,
  millisecondsPerToken,
}: CacheReport): string {
  const name = `${kind}${window > 0 ? `, window ${window}` : ""}`;
  const numbers = [(cacheBytes / 1024).toFixed(0), prefillTokensPerSecond.toFixed(0)].map((text) => text.padStart(9));
  return `  ${name.padEnd(20)}${packing.padEnd(6)}${numbers.join("")}   ${showQuartiles(millisecondsPerToken)}`;
}

function showLong({ name, peakBytes, prefillSeconds, millisecondsPerToken }: LongReport): string {
  const numbers = [(peakBytes / 2 ** 20).toFixed(1), prefillSeconds.toFixed(1)].map((text) => text.padStart(9));
  return `  ${name.padEnd(26)}${numbers.join("")}   ${showQuartiles(millisecondsPerToken)}`;
}
