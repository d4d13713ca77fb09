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

/**
 * Every tensor that can be reached through the public fields of `model`, under its path, for example
 * `layers.0.selfAttn.qkvProj.weight`. A tensor met twice (a tied head) is listed once, where it is met first.
 */
export function allParameters(model: object): Map<string, Parameter> {
  const found = new Map<string, Parameter>();
  walk(model, "", new Set(), (path, leaf) => {
    if (leaf instanceof Tensor || leaf instanceof PackedTensor) found.set(path, leaf);
  });
  return found;
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
  walk(model, "", new Set(), (_, part) => {
    if (isDisposable(part)) part[Symbol.dispose]();
  });
}

/**
 * Whether products round their inputs first by the Q8_0 rule ("q8"), in every block of `model` whose weights are packed in blocks of numbers
 * (Q8_0, Q4_0). It is part of what the model computes, on every backend; llama.cpp computes so.
 */
export function setActivations(model: object, activations: Activations): void {
  walk(model, "", new Set(), (_, part) => {
    const packed = Object.values(part).some((field) => field instanceof PackedTensor && field.scheme.block > 1);
    if (packed && "activations" in part) part.activations = activations;
  });
}

/** Visits what can be reached through plain fields, down to what is disposable. */
function walk(value: object, path: string, seen: Set<object>, visit: (path: string, part: object) => void): void {
  if (seen.has(value)) return;
  seen.add(value);
  if (isDisposable(value)) return visit(path, value);
  if (isBackend(value) || ArrayBuffer.isView(value)) return;
  visit(path, value);
  const entries = value instanceof Map ? value.entries() : Object.entries(value);
  for (const [key, field] of entries) {
    if (typeof field === "object" && field !== null)
      walk(field as object, path ? `${path}.${String(key)}` : String(key), seen, visit);
  }
}

function isDisposable(value: object): value is Disposable {
  return typeof (value as Partial<Disposable>)[Symbol.dispose] === "function";
}

function isBackend(value: object): value is Backend {
  return "kernels" in value && "memory" in value;
}
