// Each op at one size, and the ops whose ways depend on sizes at many.
import { measureDevice } from "../../bench/device-limits.js";
import { deviceSizes, measureCases, sizeFor, showRates } from "../../bench/measure-ops.js";
import { openDawn, openWebGpu } from "../../bench/open.js";
import { decodingCase, expertsCase, linearCase, opCases, packings, type OpCase } from "../../bench/op-cases.js";
import { sizes, type OpSizes } from "../../bench/op-sizes.js";
import type { Part } from "./step.js";

const measured =
  (cases: (size: OpSizes) => readonly OpCase[]): Part =>
  async ({ runs, size: wanted }, print) => {
    const gpu = await openDawn();
    await using backend = await openWebGpu(gpu);
    const size = wanted ?? sizeFor(backend);
    const limits = await measureDevice(gpu, deviceSizes[size]);
    print(`${backend.info.adapter}: ${showRates(limits)}; operands: ${size}; medians of ${runs} runs`);
    const results = await measureCases(backend, cases(sizes[size]), { limits, runs, print });
    return { backend: backend.info, size, limits, runs, results };
  };

export const ops: Part = measured(opCases);
export const sweep: Part = measured((size) => [...products(size), ...attentions(size), ...experts(size)]);

/** 1, 2, 4, ... up to `last`. */
const doublings = (last: number): number[] => Array.from({ length: Math.log2(last) + 1 }, (_, i) => 2 ** i);

function products(size: OpSizes): OpCase[] {
  const { rows, width } = size.product;
  const swept = packings.filter(([form, , activations]) => form === "f32" || activations === "q8");
  return swept.flatMap((packing) =>
    doublings(rows).map((m) => linearCase("rows of a product", size, packing, { m, n: width, k: width })),
  );
}

function attentions(size: OpSizes): OpCase[] {
  return doublings(8).map((times) => decodingCase(size, (size.held / 4) * times));
}

function experts(size: OpSizes): OpCase[] {
  return doublings(size.rows).map((rows) => expertsCase(size, rows, "q8"));
}
