// The command line of the benchmark.
import { parseArgs } from "node:util";
import { ConfigError } from "qwen-blocks";
import { builds, type BackendOptions, type Build } from "./open.js";
import { sizes as opSizes, type SizeName } from "./op-sizes.js";
import { phases, type Phase } from "./phases.js";
import type { ProductSize } from "./peers/product.js";

export interface BenchOptions {
  readonly backend: BackendOptions;
  /** A preset, a name under models/, a folder with a checkpoint, or a GGUF file. */
  readonly model?: string;
  /** Of the preset's widths and depth. */
  readonly scale: number;
  /** In the prompt, in the cache while decoding, and in a row of a training step. */
  readonly tokens: number;
  /** Rows of a training step. */
  readonly batch: number;
  readonly runs: number;
  readonly only: readonly Phase[];
  readonly profile: boolean;
  /** Where peers are installed. */
  readonly peers?: string;
  readonly product: ProductSize;
  /** Where llama.cpp's builds for Node and browsers are installed. */
  readonly llama?: string;
  /** A Python interpreter. */
  readonly python?: string;
  readonly scaling: boolean;
  readonly replay: boolean;
  readonly packed: boolean;
  readonly caches: boolean;
  /** All backends in a page. */
  readonly gpujs: boolean;
  /** Ops one by one, on a GPU. */
  readonly ops: boolean;
  /** Of their operands; by the adapter unless given. */
  readonly size?: SizeName;
  /** Where the peers are installed that compute on GPUs. */
  readonly gpuPeers?: string;
  readonly rounds: number;
  readonly json: boolean;
}

export const usage = `Measures tokens per second and kernel calls per token.

  npm run bench -- [options]

  --backend NAME  what computes; the best one that opens unless given
  --threads N     of the wasm backend; needs --backend wasm
  --build BUILD   of the wasm backend: ${builds.join(" or ")}; needs --backend wasm
  --model MODEL   a preset (toy unless given), a name under test/bench/models, a folder with a checkpoint, or a GGUF file
  --scale S       the preset at S times its widths and depth, with random weights
  --tokens N      in the prompt, in the cache while decoding, in a row of a training step; 128 unless given, 512 with --llama,
                  4096 with --caches
  --batch N       rows of a training step; 1 unless given
  --runs N        of which the median is shown; 5 unless given
  --only PHASE    ${phases.join(", ")}; may be repeated, all unless given
  --profile       after each phase a table of its kernels, beside what the machine can do

Comparisons, in place of the phases; each side runs in turn, and the ratio of each round counts:

  --peers DIR     f32 matrix products against the packages that are installed in DIR
  --product MxKxN of which size; 512x1024x1024 unless given
  --llama DIR     prefill and decoding of --model FILE.gguf against llama.cpp, native and in Chromium, with the packages
                  node-llama-cpp and @wllama/wllama in DIR; their fastest number of threads is the reference
  --python PATH   training steps and decoding against transformers, with an interpreter that has it and torch
  --replay        a recorded step whose kernels do next to nothing against a forward pass: the time of a command
  --scaling       decoding with four times the experts, with sixteen times the context, and with two threads
  --ops           each op alone, by a GPU's clock: needs --backend webgpu
  --size SIZE     of the operands of --ops and --gpu-peers: ${Object.keys(opSizes).join(" or ")}; by the adapter unless given
  --gpu-peers DIR ops on the webgpu backend against onnxruntime-web and jax-js in DIR, in one page of Chromium
  --packed        decoding with bf16, q8_0 and q4_0 weights, and the time to the first token behind long prompts
  --gpujs         the gpujs backend beside the others, in a page of Chromium, on the GPU that it emulates
  --caches        memory and speed of each kind of cache by its packing, and of a window behind 100,000 tokens
  --rounds N      7 unless given

  --json          for programs
  --help          this text`;

/** @throws ConfigError that names the option */
export function readOptions(args: readonly string[]): BenchOptions | "help" {
  const { help, backend, threads, build, model, scale, tokens, batch, runs, rounds, only, product, ...rest } =
    parse(args);
  if (help) return "help";
  const { profile, peers, llama, python, scaling, replay, packed, caches, gpujs, ops, size, json } = rest;
  const gpuPeers = rest["gpu-peers"];
  if ((threads !== undefined || build !== undefined) && backend !== "wasm")
    throw new ConfigError(`--threads, --build: need --backend wasm, got ${backend ?? "none"}`);
  const modes = [peers, gpuPeers, llama, python].map((mode) => mode !== undefined);
  if ([...modes, scaling, replay, packed, caches, gpujs, ops].filter(Boolean).length > 1)
    throw new ConfigError(
      "--peers, --gpu-peers, --llama, --python, --scaling, --replay, --packed, --caches, --gpujs, --ops: must be given one at a time, got several",
    );
  return {
    backend: {
      ...(backend !== undefined && { name: backend }),
      ...(threads !== undefined && { threads: positive("--threads", threads, true) }),
      ...(build !== undefined && { build: buildOf(build) }),
    },
    ...(model !== undefined && { model }),
    scale: positive("--scale", scale, false),
    tokens: positive("--tokens", tokens ?? (caches ? "4096" : llama === undefined ? "128" : "512"), true),
    batch: positive("--batch", batch, true),
    runs: positive("--runs", runs, true),
    rounds: positive("--rounds", rounds, true),
    only: only.length > 0 ? only.map(phase) : phases,
    product: productOf(product),
    profile,
    ...(peers !== undefined && { peers }),
    ...(llama !== undefined && { llama }),
    ...(python !== undefined && { python }),
    scaling,
    replay,
    packed,
    caches,
    gpujs,
    ops,
    ...(size !== undefined && { size: sizeOf(size) }),
    ...(gpuPeers !== undefined && { gpuPeers }),
    json,
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        backend: { type: "string" },
        threads: { type: "string" },
        build: { type: "string" },
        model: { type: "string" },
        scale: { type: "string", default: "1" },
        tokens: { type: "string" },
        batch: { type: "string", default: "1" },
        runs: { type: "string", default: "5" },
        only: { type: "string", multiple: true, default: [] },
        profile: { type: "boolean", default: false },
        peers: { type: "string" },
        product: { type: "string", default: "512x1024x1024" },
        llama: { type: "string" },
        python: { type: "string" },
        scaling: { type: "boolean", default: false },
        replay: { type: "boolean", default: false },
        packed: { type: "boolean", default: false },
        caches: { type: "boolean", default: false },
        gpujs: { type: "boolean", default: false },
        ops: { type: "boolean", default: false },
        size: { type: "string" },
        "gpu-peers": { type: "string" },
        rounds: { type: "string", default: "7" },
        json: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    }).values;
  } catch (cause) {
    throw new ConfigError(`options: ${(cause as Error).message}`, { cause });
  }
}

function positive(option: string, text: string, whole: boolean): number {
  const value = Number(text);
  if (Number.isFinite(value) && value > 0 && (!whole || Number.isSafeInteger(value))) return value;
  throw new ConfigError(`${option}: must be a positive ${whole ? "integer" : "number"}, got "${text}"`);
}

function phase(text: string): Phase {
  const found = phases.find((name) => name === text);
  if (found) return found;
  throw new ConfigError(`--only: must be one of ${phases.join(", ")}, got "${text}"`);
}

function buildOf(text: string): Build {
  const found = builds.find((name) => name === text);
  if (found) return found;
  throw new ConfigError(`--build: must be one of ${builds.join(", ")}, got "${text}"`);
}

function sizeOf(text: string): SizeName {
  if (Object.hasOwn(opSizes, text)) return text as SizeName;
  throw new ConfigError(`--size: must be one of ${Object.keys(opSizes).join(", ")}, got "${text}"`);
}

function productOf(text: string): ProductSize {
  const parts = text.split("x");
  if (parts.length !== 3) throw new ConfigError(`--product: must be MxKxN, got "${text}"`);
  const [m, k, n] = parts.map((part) => positive("--product", part, true));
  return { m, k, n };
}
