// `--peers`: one f32 product on our wasm backend and in each peer, one thread against one and two against two.
import { resolve } from "node:path";
import { libraryVersion, machineFacts, showFacts } from "./machine.js";
import type { BenchOptions } from "./options.js";
import { CannotPlay, Player, notesOn } from "./player.js";
import { median, showQuartiles } from "./quartiles.js";
import { alternate, type Match } from "./rounds.js";

const peers = [
  { name: "onnxruntime-node", file: "peers/onnxruntime.ts", threads: [1, 2] },
  { name: "onnxruntime-web", file: "peers/onnxruntime.ts", threads: [1, 2] },
  { name: "@tensorflow/tfjs-backend-wasm", file: "peers/tfjs.ts", threads: [1, 2] },
  { name: "@jax-js/jax", file: "peers/jax.ts", threads: [1, 2] },
] as const;

interface Compared {
  readonly peer: string;
  readonly threads: number;
  /** Why it was not measured. */
  readonly failed?: string;
  readonly match?: Match;
  readonly oursGflops?: number;
  readonly theirGflops?: number;
  readonly notes?: readonly string[];
}

export async function compareProducts(options: BenchOptions, print: (line: string) => void): Promise<object> {
  const { product, rounds } = options;
  const { m, k, n } = product;
  const facts = { library: libraryVersion(), machine: machineFacts(), product, rounds };
  print(`qwen-blocks ${facts.library}\nmachine   ${showFacts(facts.machine)}`);
  print(
    `f32 product ${m}x${k} by ${k}x${n}: GFLOP/s, medians of ${rounds} rounds; ratio: ours over theirs, median (quartiles)\n`,
  );
  print(`${"peer".padEnd(36)}${"ours".padStart(10)}${"theirs".padStart(10)}   ratio`);
  const results: Compared[] = [];
  for (const { name, file, threads } of peers) {
    for (const count of threads) {
      const result = await compare(options, name, file, count);
      results.push(result);
      print(row(result));
    }
  }
  return { ...facts, results };
}

async function compare(options: BenchOptions, name: string, file: string, threads: number): Promise<Compared> {
  const { product, rounds, peers: folder = ".", backend } = options;
  const task = { ...product, threads, folder: resolve(folder), name, ...(backend.build && { build: backend.build }) };
  try {
    await using theirs = await Player.ofFile(file, task);
    await using ours = await Player.ofFile("peers/ours-product.ts", task);
    const match = await alternate(ours, theirs, rounds);
    const gflops = (times: readonly number[]): number => (2 * product.m * product.k * product.n) / median(times) / 1e6;
    return {
      peer: `${name} ${theirs.info.version}`,
      threads,
      match,
      oursGflops: gflops(match.ours),
      theirGflops: gflops(match.theirs),
      notes: notesOn(ours, theirs),
    };
  } catch (error) {
    if (error instanceof CannotPlay) return { peer: name, threads, failed: error.message };
    throw error;
  }
}

function row({ peer, threads, failed, match, oursGflops = NaN, theirGflops = NaN, notes = [] }: Compared): string {
  const name = `${peer} x${threads}`.padEnd(36);
  if (!match) return `${name}  not measured: ${failed}`;
  const numbers = [oursGflops, theirGflops].map((value) => value.toFixed(1).padStart(10)).join("");
  return [`${name}${numbers}   ${showQuartiles(match.ratio)}`, ...notes.map((note) => `    ${note}`)].join("\n");
}
