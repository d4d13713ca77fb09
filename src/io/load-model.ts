// Builds a model out of a checkpoint. The blocks ask for their weights as they always do; what they ask for is checked against the headers
// and allocated, and the numbers follow, so that beside the model only one read is in memory.
import { CheckpointError } from "../core/errors.js";
import { sameShape, showShape, sizeOf, type Shape } from "../core/shape.js";
import type { Scheme } from "../quant/schemes/scheme.js";
import { disposeAll, isRouterWeight, type Parameter } from "../layers/layer.js";
import { weightsFrom, type Init, type Weights } from "../layers/weights.js";
import { PackedTensor } from "../tensor/packed-tensor.js";
import { Tensor } from "../tensor/tensor.js";
import type { Checkpoint, CheckpointTensor } from "./checkpoint.js";
import { quote } from "./json-text.js";
import { plainNames, type Names, type Piece } from "./names.js";
import { fillTensors, type Fill } from "./fill-tensors.js";
import { isPackable, schemeOf } from "./stored-blocks.js";

export interface LoadOptions {
  /** What the model's parameters are called in the checkpoint; `qwen3Names(config)`. Without it: the same. */
  readonly names?: Names;
  /**
   * "stored": matrices that the file holds as F16, BF16 or in blocks (Q8_0, Q4_K, ...) stay as they are, packed; norms, biases and routers become f32. "f32":
   * everything becomes f32, for training. Unless given "stored" for GGUF files and "f32" for safetensors.
   */
  readonly weights?: "stored" | "f32";
  /** Tensors of the checkpoint that need not have a place in the model. All others must. */
  readonly allowUnused?: readonly string[] | ((name: string) => boolean);
  /** Ends the loading; what was allocated is freed. */
  readonly signal?: AbortSignal;
  /** Told after each read how many bytes of how many are loaded. */
  readonly onProgress?: (loaded: number, total: number) => void;
}

/** Element types that a weight can be loaded from. */
const isFloat = (dtype: string): boolean => dtype === "F64" || dtype === "F32" || isPackable(dtype);
/** How many names an error lists. */
const LISTED = 10;

/**
 * Loads a model strictly: every parameter must be in the checkpoint, in its shape, and every tensor of the checkpoint in the model. Beside
 * the model only one read is in memory.
 *
 * @param build constructs the model from the weights it is given, at once and without reading them: the numbers come after it returns. To
 *   pack a model otherwise than the file is, load it as f32 first.
 * @throws CheckpointError that lists what is missing, misshapen and left over. After any error all memory is free again.
 */
export async function loadModel<M extends object>(
  backend: Weights["backend"],
  checkpoint: Checkpoint,
  build: (weights: Weights) => M,
  options: LoadOptions = {},
): Promise<M> {
  const { names = plainNames, weights = checkpoint.format === "gguf" ? "stored" : "f32" } = options;
  const plan = new LoadPlan(checkpoint, names, weights);
  let model: M | undefined;
  try {
    model = plan.build(backend, build);
    plan.check(options.allowUnused ?? []);
    await fillTensors(plan.fills, options);
    return model;
  } catch (error) {
    plan.dispose();
    if (model !== undefined) disposeAll(model);
    throw error;
  }
}

/** A piece of a parameter, and its place unless that is missing or wrong. */
interface Found {
  readonly piece: Piece;
  readonly entry: CheckpointTensor | undefined;
}

/** What a model took from a checkpoint, and what was wrong with it. */
class LoadPlan {
  readonly fills: Fill[] = [];
  readonly #checkpoint: Checkpoint;
  readonly #names: Names;
  readonly #weights: "stored" | "f32";
  readonly #taken: Parameter[] = [];
  readonly #used = new Set<string>();
  readonly #missing = new Set<string>();
  readonly #wrong = new Set<string>();
  #open = true;

  constructor(checkpoint: Checkpoint, names: Names, weights: "stored" | "f32") {
    this.#checkpoint = checkpoint;
    this.#names = names;
    this.#weights = weights;
  }

  build<M>(backend: Weights["backend"], build: (weights: Weights) => M): M {
    try {
      return build(
        weightsFrom(
          backend,
          (...weight) => this.#take(backend, ...weight)[0],
          (...weight) => this.#take(backend, ...weight, runsOf),
        ),
      );
    } catch (error) {
      // A wrong checkpoint may well be why the model could not be built: too large, for example.
      if (this.#missing.size + this.#wrong.size > 0) throw this.#error([], error);
      throw error;
    } finally {
      this.#open = false;
    }
  }

  check(allowed: readonly string[] | ((name: string) => boolean)): void {
    const isAllowed = typeof allowed === "function" ? allowed : (name: string) => allowed.includes(name);
    const unused = [...this.#checkpoint.tensors.keys()].filter((name) => !this.#used.has(name) && !isAllowed(name));
    if (this.#missing.size + this.#wrong.size + unused.length > 0) throw this.#error(unused);
    if (!this.#taken.some((parameter) => parameter.disposed)) return;
    throw new CheckpointError(
      `${this.#checkpoint.name}: the function that builds the model must keep the weights that it takes, got some disposed; pack after loading`,
    );
  }

  dispose(): void {
    for (const parameter of this.#taken) parameter.dispose();
  }

  /**
   * Goes on after a flaw, with memory that is never filled: so one error can name all of them.
   * @param cut what of a matrix that may stay packed becomes a parameter of its own
   */
  #take(
    backend: Weights["backend"],
    path: string,
    shape: Shape,
    init: Init,
    cut = (pieces: readonly Found[]): readonly (readonly Found[])[] => [pieces],
  ): Parameter[] {
    if (!this.#open) {
      throw new CheckpointError(`${path}: must be taken while the model is built, got a call after it; load it apart`);
    }
    const pieces = this.#pieces(path, shape).map((piece) => ({ piece, entry: this.#entry(path, piece) }));
    const packable = this.#weights === "stored" && init === "normal" && shape.length > 1 && !isRouterWeight(path);
    const runs = packable ? cut(pieces) : [pieces];
    return runs.map((run) => {
      const rows = run.reduce((sum, { piece }) => sum + piece.shape[0], 0);
      return this.#fillLater(backend, path, runs.length === 1 ? shape : [rows, shape[1]], run, packable);
    });
  }

  #fillLater(
    backend: Weights["backend"],
    path: string,
    shape: Shape,
    pieces: readonly Found[],
    packable: boolean,
  ): Parameter {
    const scheme = packable ? this.#scheme(path, shape, pieces) : undefined;
    const parameter = scheme ? PackedTensor.allocate(backend, scheme, shape) : Tensor.allocate(backend, shape);
    this.#taken.push(parameter);
    let start = 0;
    for (const { piece, entry } of pieces) {
      if (entry !== undefined) this.fills.push({ parameter, start, entry, swapped: piece.swapped === true });
      start += sizeOf(piece.shape);
    }
    return parameter;
  }

  /** Of the packed parameter that the pieces make up; undefined if they are plain. */
  #scheme(path: string, shape: Shape, pieces: readonly Found[]): Scheme | undefined {
    const dtypes = [...new Set(pieces.flatMap(({ entry }) => entry?.dtype ?? []))];
    const packed = dtypes.filter(isPackable);
    if (packed.length === 0) return undefined;
    const whole = pieces.every(({ piece }) => !piece.swapped && piece.shape.at(-1) === shape.at(-1));
    if (dtypes.length === 1 && whole) return schemeOf(packed[0]);
    const got = whole ? dtypes.join(", ") : "pieces of rows, or swapped ones";
    this.#wrong.add(`${path} must be whole rows of one type to stay packed, got ${got}; load with weights: "f32"`);
    return undefined;
  }

  #pieces(path: string, shape: Shape): readonly Piece[] {
    try {
      const pieces = this.#names.find(path, shape, this.#checkpoint.tensors);
      const found = pieces.reduce((size, piece) => size + sizeOf(piece.shape), 0);
      if (found === sizeOf(shape)) return pieces;
      throw new CheckpointError(`${path}: names must give all of ${showShape(shape)}, got ${found} elements`);
    } catch (error) {
      if (!(error instanceof CheckpointError)) throw error;
      this.#wrong.add(error.message);
      return [];
    }
  }

  #entry(path: string, piece: Piece): CheckpointTensor | undefined {
    const entry = this.#checkpoint.tensors.get(piece.key);
    if (entry === undefined) {
      this.#missing.add(piece.key);
      return undefined;
    }
    this.#used.add(piece.key);
    if (sameShape(entry.shape, piece.shape) && isFloat(entry.dtype)) return entry;
    const [rule, found] = sameShape(entry.shape, piece.shape)
      ? ["a floating-point type", entry.dtype]
      : [`shape ${showShape(piece.shape)}`, showShape(entry.shape)];
    this.#wrong.add(`${piece.key} must have ${rule} for ${path}, got ${found}`);
    return undefined;
  }

  #error(unused: readonly string[], cause?: unknown): CheckpointError {
    const parts = [
      list("does not fit the model", "do not fit the model", [...this.#wrong]),
      list("is missing", "are missing", [...this.#missing].map(quote)),
      list("has no place in the model", "have no place in the model", unused.map(quote)),
    ];
    const text = parts.filter((part) => part !== "").join("\n");
    return new CheckpointError(`${this.#checkpoint.name}: checkpoint and model must agree:\n${text}`, { cause });
  }
}

/** Neighbours of one type together. What is missing goes with its neighbour: the error names it. */
function runsOf(pieces: readonly Found[]): readonly (readonly Found[])[] {
  const runs: Found[][] = [];
  for (const found of pieces) {
    const last = runs.at(-1);
    const dtype = last?.find(({ entry }) => entry !== undefined)?.entry?.dtype;
    if (last !== undefined && (dtype === found.entry?.dtype || dtype === undefined || found.entry === undefined))
      last.push(found);
    else runs.push([found]);
  }
  return runs;
}

function list(one: string, many: string, items: readonly string[]): string {
  const count = items.length;
  if (count === 0) return "";
  const lines = items.slice(0, LISTED);
  if (count > LISTED) lines.push(`and ${count - LISTED} more`);
  return `${count} ${count === 1 ? `tensor ${one}` : `tensors ${many}`}:${lines.map((line) => `\n  ${line}`).join("")}`;
}
