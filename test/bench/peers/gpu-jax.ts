// jax-js with its WebGPU device. It consumes an array at its use unless given a reference, and computes when someone waits.
import { epsilon, operandsOf, type GpuSide, type GpuTask } from "./gpu-task.js";

interface Numbers {
  readonly ref: Numbers;
  data(): Promise<ArrayLike<number>>;
  dispose(): void;
  mul(other: Numbers | number): Numbers;
  add(other: Numbers | number): Numbers;
}
interface Jax {
  init(): Promise<readonly string[]>;
  defaultDevice(device: string): unknown;
  jit<F>(f: F): F;
  blockUntilReady(arrays: readonly Numbers[]): Promise<unknown>;
  readonly numpy: {
    array(values: Float32Array, options: { readonly shape: readonly number[] }): Numbers;
    matmul(a: Numbers, b: Numbers): Numbers;
    mean(x: Numbers, axis: number, options: { readonly keepdims: boolean }): Numbers;
    sqrt(x: Numbers): Numbers;
    reciprocal(x: Numbers): Numbers;
    split(x: Numbers, parts: number, axis: number): readonly [Numbers, Numbers];
  };
  readonly nn: {
    softmax(x: Numbers, axis: number): Numbers;
    silu(x: Numbers): Numbers;
    dotProductAttention(q: Numbers, k: Numbers, v: Numbers): Numbers;
  };
}

export async function jaxAt(folder: string, task: GpuTask): Promise<GpuSide> {
  const address = `${folder}/@jax-js/jax/dist/index.js`;
  const jax = (await import(/* @vite-ignore */ address)) as Jax;
  const devices = await jax.init();
  if (!devices.includes("webgpu")) throw new Error(`its devices are ${devices.join(", ")}, without webgpu`);
  jax.defaultDevice("webgpu");
  const operands = operandsOf(task, "columns").map(({ shape, numbers }) => jax.numpy.array(numbers, { shape }));
  const compute = jax.jit(computeOf(jax, task));
  const call = (): Numbers => compute(...operands.map(({ ref }) => ref));
  return async (count) => {
    const rest = Array.from({ length: count - 1 }, call);
    if (rest.length > 0) await jax.blockUntilReady(rest.map(({ ref }) => ref));
    for (const each of rest) each.dispose();
    return call().data();
  };
}

function computeOf({ numpy, nn }: Jax, task: GpuTask): (...operands: readonly Numbers[]) => Numbers {
  switch (task.op) {
    case "linear":
      return (a, b) => numpy.matmul(a, b);
    case "softmax":
      return (x) => nn.softmax(x, -1);
    case "rmsNorm":
      return (x, weight) => {
        const square = numpy.mean(x.ref.mul(x.ref), -1, { keepdims: true });
        return x.mul(numpy.reciprocal(numpy.sqrt(square.add(epsilon)))).mul(weight);
      };
    case "swiglu":
      return (x) => {
        const [gate, up] = numpy.split(x, 2, -1);
        return nn.silu(gate).mul(up);
      };
    case "attention":
      return (q, k, v) => nn.dotProductAttention(q, k, v);
  }
}
