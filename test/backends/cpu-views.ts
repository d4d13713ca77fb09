// Operands for the CPU kernels' tests: views at an offset between canaries, so that a write outside or an element left unwritten shows.
import { expect } from "vitest";
import { cpu } from "../../src/backends/cpu/index.js";
import type { Backend, Kernel, OpName, OpTable } from "../../src/backends/backend.js";
import { elementsOver, type DType } from "../../src/core/dtype.js";
import { sizeOf, type Shape } from "../../src/core/shape.js";
import { isPackedView, type Operand, type PackedView, type View } from "../../src/core/view.js";
import { partSpecs } from "../../src/quant/schemes/scheme.js";
import { schemes } from "../../src/quant/schemes/schemes.js";

export const backend: Backend = await cpu();

const OFFSET = 3;
const CANARY = 0x7fbadbad; // a NaN as f32

/** A view at an offset, with canaries around it; without values it starts as canaries too, so what is not written shows. */
export function view(shape: Shape, values?: readonly number[], dtype: DType = "f32"): View {
  const size = sizeOf(shape);
  const words = new Uint32Array(size + 2 * OFFSET).fill(CANARY);
  if (values) elementsOver(dtype, words.buffer, OFFSET * 4, size).set(values);
  const storage = backend.memory.alloc(words.byteLength);
  backend.memory.write(storage, 0, new Uint8Array(words.buffer));
  return { storage, dtype, shape, offset: OFFSET };
}
export const i32 = (shape: Shape, values?: readonly number[]): View => view(shape, values, "i32");
export const u32 = (shape: Shape, values?: readonly number[]): View => view(shape, values, "u32");

export function packed(scheme: string, shape: Shape, values?: readonly number[]): PackedView {
  const parts = partSpecs(schemes[scheme], shape).map((spec) => view(spec.shape, undefined, spec.dtype));
  const y = { scheme, shape, layout: "plain", parts };
  if (values) backend.kernels.quantize([view(shape, values)], [y], { scheme });
  return y;
}

/** The numbers of a view, after a check that its canaries are whole. */
export async function read(x: View): Promise<number[]> {
  const bytes = await backend.memory.read(x.storage, 0, x.storage.byteLength);
  const words = new Uint32Array(bytes.buffer);
  expect([...words.slice(0, OFFSET), ...words.slice(-OFFSET)]).toEqual(new Array(2 * OFFSET).fill(CANARY));
  return [...elementsOver(x.dtype, bytes.buffer, x.offset * 4, sizeOf(x.shape))];
}

export function call<K extends OpName>(op: K, ...[i, o, a]: Parameters<Kernel<K, void>>): void {
  const kernel = backend.kernels[op] as Kernel<K, void>;
  kernel(i, o, a);
}

async function numbersOf(output: Operand): Promise<number[]> {
  if (output === undefined) return [];
  if (!isPackedView(output)) return read(output);
  const plain = view(output.shape);
  call("dequantize", [output], [plain], {});
  return read(plain);
}

/** Runs an op and reads its outputs; those left undefined stay so. */
export async function run<K extends OpName>(
  op: K,
  inputs: OpTable[K]["inputs"],
  outputs: OpTable[K]["outputs"],
  attrs: OpTable[K]["attrs"],
): Promise<number[][]> {
  call(op, inputs, outputs, attrs);
  return Promise.all((outputs as readonly Operand[]).map(numbersOf));
}

export function close(actual: readonly number[], expected: readonly number[]): void {
  expect(actual.length).toBe(expected.length);
  actual.forEach((value, i) => {
    expect(value).toBeCloseTo(expected[i], 5);
  });
}
