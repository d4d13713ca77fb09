// Opens what a measurement runs on: the backend, and the model with its weights.
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { BackendError, ConfigError, Qwen3, configFromJson, presets, randomWeights } from "qwen-blocks";
import { scaleConfig, setActivations } from "qwen-blocks";
import type { Backend, PresetName, Qwen3Config } from "qwen-blocks";
import { openBackend, type BackendName } from "qwen-blocks/auto";
import { loadModel, openCheckpoint, qwen3Names } from "qwen-blocks/io";
import type { Build } from "qwen-blocks/wasm";
import type { WebGpuBackend } from "qwen-blocks/webgpu";

export type { Build };
export const builds = ["simd128", "relaxed"] as const satisfies readonly Build[];

/** Without this, Dawn rounds the device's timestamps to 65 microseconds, which is longer than most kernels take. */
const dawnOptions = ["disable-dawn-features=timestamp_quantization"];
const dawnModule = new URL("../gpu/node_modules/webgpu/index.js", import.meta.url);

/** WebGPU in Node: Dawn, which is installed apart from the other packages. @throws ConfigError where it is missing */
export async function openDawn(): Promise<GPU> {
  if (!existsSync(dawnModule)) {
    throw new ConfigError(
      `--backend webgpu: the package "webgpu" must be installed in test/gpu; npm ci --prefix test/gpu --ignore-scripts`,
    );
  }
  const { create } = (await import(dawnModule.href)) as { create(options: readonly string[]): GPU };
  return create(dawnOptions);
}

export interface BackendOptions {
  readonly name?: string;
  /** Of the wasm backend. */
  readonly threads?: number;
  /** Of the wasm backend. */
  readonly build?: Build;
}

/** @throws BackendError if another backend than the one named would open */
export async function open({ name, threads, build }: BackendOptions): Promise<Backend> {
  if (threads !== undefined || build !== undefined) {
    const { wasm } = await import("qwen-blocks/wasm");
    return wasm({ threads, build });
  }
  if (name === "webgpu") return openWebGpu();
  const { backend, passedOver } = await openBackend(name === undefined ? {} : { prefer: name as BackendName });
  for (const { name, reason } of passedOver) console.error(`passed over ${name}: ${reason}`);
  if (name !== undefined && backend.name !== name) throw new BackendError(`--backend: ${name} must open`);
  return backend;
}

export async function openWebGpu(gpu?: GPU): Promise<WebGpuBackend> {
  const { webgpu } = await import("qwen-blocks/webgpu");
  return webgpu({ gpu: gpu ?? (await openDawn()) });
}

export function isWebGpu(backend: Backend): backend is WebGpuBackend {
  return backend.name === "webgpu";
}

const models = new URL("models/", import.meta.url);

/** Of a preset or a file under models/; nothing where `model` is neither. */
export function namedConfig(model: string): Qwen3Config | undefined {
  if (Object.hasOwn(presets, model)) return presets[model as PresetName];
  const file = new URL(`${encodeURIComponent(model)}.json`, models);
  return existsSync(file) ? configFromJson(readFileSync(file, "utf8")) : undefined;
}

/** @throws ConfigError if no config has this name */
export function expectConfig(model: string, scale: number): Qwen3Config {
  const config = namedConfig(model);
  if (config) return scale === 1 ? config : scaleConfig(config, scale);
  throw new ConfigError(`--model: must be one of ${names().join(", ")}, got ${model}`);
}

/** With random weights, or those of a checkpoint. */
export async function openModel(backend: Backend, model: string, scale: number): Promise<Qwen3> {
  if (namedConfig(model)) return randomModel(backend, expectConfig(model, scale));
  if (scale !== 1) throw new ConfigError(`--scale: must be 1 for a checkpoint, got ${scale}; it is for presets`);
  const checkpoint = await openCheckpoint(model).catch((cause: unknown) => {
    const known = names().join(", ");
    const reason = (cause as Error).message;
    throw new ConfigError(
      `--model: must be a checkpoint (a folder, a .safetensors or .gguf file) or one of ${known}, got ${model} (${reason})`,
      {
        cause,
      },
    );
  });
  const config = configFromJson(checkpoint.config);
  const loaded = await loadModel(backend, checkpoint, (w) => new Qwen3(w, config), { names: qwen3Names(config) });
  // As llama.cpp computes with such a file, beside which it is measured.
  if (checkpoint.format === "gguf") setActivations(loaded, "q8");
  return loaded;
}

export function randomModel(backend: Backend, config: Qwen3Config): Qwen3 {
  return new Qwen3(randomWeights(backend, 1, config), config);
}

function names(): string[] {
  const files = readdirSync(models).filter((file) => file.endsWith(".json"));
  return [...Object.keys(presets), ...files.map((file) => file.slice(0, -".json".length))];
}
