// The exported suite, with all that the adapter has and without subgroups and packed dot products.
import { conformanceCases } from "qwen-blocks/testing";
import { webgpu, type WebGpuFeature } from "qwen-blocks/webgpu";
import { openDawn } from "../../bench/open.js";
import type { Part } from "./step.js";

const variants: Readonly<Record<string, readonly WebGpuFeature[] | undefined>> = { full: undefined, plain: [] };

export const suite: Part = async ({ cases: runs }, print) => {
  const gpu = await openDawn();
  const results: { variant: string; name: string; seconds: number; failed?: string }[] = [];
  for (const [variant, features] of Object.entries(variants)) {
    const open = () => webgpu({ gpu, ...(features && { features }) });
    await using backend = await open();
    print(`${variant}: ${backend.info.features || "no features"}`);
    for (const { name, run } of conformanceCases(backend, { runs, open })) {
      const start = performance.now();
      const failed = await Promise.resolve(run()).then(
        () => undefined,
        (error: unknown) => (error instanceof Error ? error.message : String(error)),
      );
      const seconds = (performance.now() - start) / 1000;
      results.push({ variant, name, seconds, ...(failed !== undefined && { failed }) });
      print(
        `  ${failed === undefined ? "ok    " : "FAILED"} ${name} ${seconds.toFixed(1)} s${failed ? `\n${failed}` : ""}`,
      );
    }
  }
  const failures = results.filter(({ failed }) => failed !== undefined).length;
  print(`${results.length - failures} passed, ${failures} failed`);
  if (failures > 0) process.exitCode = 1;
  return { runs, results };
};
