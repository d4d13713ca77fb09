// Temporary: primitives that are not written yet, computed by the CPU backend's kernels on copies.
import { isPackedView, type Operand, type View } from "../../core/view.js";
import { sizeOf } from "../../core/shape.js";
import type { Kernels } from "../backend.js";
import { kernels } from "../cpu/kernels.js";
import { CpuMemory, CpuStorage } from "../cpu/memory.js";
import type { Engine } from "./engine.js";

export function borrowed(engine: Engine): Kernels {
  const names =
    "fill cast permute slice writeSlice gatherRows scatterRows unary binary select reduce scan topK matmul quantize dequantize".split(
      " ",
    );
  const table: Record<string, unknown> = {};
  for (const name of names) {
    table[name] = (inputs: Operand[], outputs: Operand[], attrs: unknown) => {
      const memory = new CpuMemory();
      const back: [View, View][] = [];
      const view = (v: View): View => {
        const bytes = sizeOf(v.shape) * 4;
        const storage = memory.alloc(bytes);
        memory.write(storage, 0, new Uint8Array(engine.memory.buffer, engine.at(v), bytes));
        const copy = { ...v, storage, offset: 0 };
        back.push([v, copy]);
        return copy;
      };
      const operand = (o: Operand): Operand =>
        o === undefined ? o : isPackedView(o) ? { ...o, parts: o.parts.map(view) } : view(o);
      const ins = inputs.map(operand);
      back.length = 0;
      const outs = outputs.map(operand);
      (kernels as unknown as Record<string, (i: Operand[], o: Operand[], a: unknown) => void>)[name](ins, outs, attrs);
      for (const [to, from] of back)
        new Uint8Array(engine.memory.buffer, engine.at(to), sizeOf(to.shape) * 4).set(
          new Uint8Array((from.storage as CpuStorage).buffer, 0, sizeOf(to.shape) * 4),
        );
    };
  }
  return table as unknown as Kernels;
}
