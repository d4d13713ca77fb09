// What a block is: an object with weights and `forward`. Its parameters are found by walking plain fields, so blocks need no base class.
import type { Activations, Backend } from "../backends/backend.js";
import { PackedTensor } from "../tensor/packed-tensor.js";
import { Tensor } from "../tensor/tensor.js";

/** A block that turns activations into activations of the same leading shape. */
export interface Layer {
  forward(x: Tensor): Tensor;
}

/** A parameter as a block holds it: plain, or packed in place by `packModel`. */
export type Parameter = Tensor | PackedTensor;

/** What rounds each of a block's matrices where products read it, by field; set by `fakeQuantModel`. */
export type Roundings = Partial<Record<string, Layer>>;

/** A block's matrix as products read it: rounded where the block is trained so, else as it is. */
export function readMatrix<F extends string>(
  block: { readonly roundings: Roundings } & Readonly<Record<F, Parameter>>,
  field: F,
): Parameter {
  const [matrix, rounding] = [block[field], block.roundings[field]];
  return rounding && matrix instanceof Tensor ? rounding.forward(matrix) : matrix;
}

/** Rounds the inputs of products, token by token, to numbers of the same shape; the gradient should pass straight through. */
export type ActivationRounding = Layer;

/** The input of a product and its attribute. */
export function readInput(x: Tensor, activations: Activations | ActivationRounding): readonly [Tensor, Activations] {
  return typeof activations === "string" ? [x, activations] : [activations.forward(x), "f32"];
}

/**
 * Every tensor that can be reached through the public fields of `model`, under its path, for example
 * `layers.0.selfAttn.qkvProj.weight`. A tensor met twice (a tied head) is listed once, where it is met first.
 */
export function allParameters(model: object): Map<string, Parameter> {
  const found = new Map<Parameter, string>();
  for (const { path, parameter } of placesOf(model)) if (!found.has(parameter)) found.set(parameter, path);
  return new Map([...found].map(([parameter, path]) => [path, parameter]));
}

/** Where a block holds a parameter: `block[field]`. */
export interface Place {
  readonly path: string;
  readonly block: Record<string, unknown>;
  readonly field: string;
  readonly parameter: Parameter;
}

/** The places of {@link allParameters}; a parameter that several blocks hold has as many. */
export function placesOf(model: object): Place[] {
  const places: Place[] = [];
  walk(model, "", new Set(), (path, parameter, block, field) => {
    if (isParameter(parameter)) places.push({ path, block: block as Place["block"], field, parameter });
  });
  return places;
}

/** Those of {@link allParameters} that gradients exist for: the plain f32 ones. */
export function parameters(model: object): Map<string, Tensor> {
  const found = new Map<string, Tensor>();
  for (const [path, leaf] of allParameters(model))
    if (leaf instanceof Tensor && leaf.dtype === "f32") found.set(path, leaf);
  return found;
}

/** Frees everything disposable that can be reached through the public fields of `model`: weights and tables. */
export function disposeAll(model: object): void {
  const leaves = new Set<Disposable>();
  if (isDisposable(model)) leaves.add(model);
  else walk(model, "", new Set(), (_, leaf) => leaves.add(leaf));
  for (const leaf of leaves) leaf[Symbol.dispose]();
}

/**
 * Whether products round their inputs first, by the Q8_0 rule ("q8") or by a rounding of your own, in every block of `model` whose weights
 * are packed in blocks of numbers (such as Q8_0), routers aside. It is part of what the model computes, on every backend; llama.cpp computes by "q8", but for
 * K-quants.
 */
export function setActivations(model: object, activations: Activations | ActivationRounding): void {
  for (const { path, block, parameter } of placesOf(model)) {
    const inBlocks = parameter instanceof PackedTensor && parameter.scheme.block > 1;
    if (inBlocks && "activations" in block && !isRouterWeight(path)) block.activations = activations;
  }
}

/** Whether the parameter weighs experts (a router, the gate of a shared expert): such products are f32 in packed models as well. */
export function isRouterWeight(path: string): boolean {
  return /(^|\.)(gate|sharedExpertGate)\.weight$/.test(path);
}

type Visit = (path: string, leaf: Disposable, owner: object, field: string) => void;

/** Blocks once each, leaves as often as they are met. */
function walk(value: object, path: string, seen: Set<object>, visit: Visit): void {
  if (seen.has(value) || isBackend(value) || ArrayBuffer.isView(value)) return;
  seen.add(value);
  const entries: Iterable<[unknown, unknown]> = value instanceof Map ? value.entries() : Object.entries(value);
  for (const [key, field] of entries) {
    if (typeof field !== "object" || field === null) continue;
    const below = path ? `${path}.${String(key)}` : String(key);
    if (isDisposable(field)) visit(below, field, value, String(key));
    else walk(field, below, seen, visit);
  }
}

function isParameter(leaf: object): leaf is Parameter {
  return leaf instanceof Tensor || leaf instanceof PackedTensor;
}

function isDisposable(value: object): value is Disposable {
  return typeof (value as Partial<Disposable>)[Symbol.dispose] === "function";
}

function isBackend(value: object): value is Backend {
  return "kernels" in value && "memory" in value;
}
