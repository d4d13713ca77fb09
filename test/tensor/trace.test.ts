// What ran, by which means: trace lists every op call, observe counts every kernel call.
import {
  add,
  DECLINED,
  expertMlp,
  linear,
  observe,
  rmsNorm,
  scope,
  trace,
  type Backend,
  type Command,
  type Tensor,
} from "qwen-blocks";
import { cpu } from "qwen-blocks/cpu";
import { beforeEach, describe, expect, test } from "vitest";
import { bits, ints, normal, numbers } from "./numbers.js";

let backend: Backend;
beforeEach(async () => {
  backend = await cpu();
});
const without = (...names: string[]): Backend => {
  const kept = Object.entries(backend.kernels).filter(([name]) => !names.includes(name));
  return { ...backend, kernels: Object.fromEntries(kept) as unknown as Backend["kernels"] };
};
const call = (b: Backend): Tensor => rmsNorm(normal(b, 1, [2, 3]), normal(b, 2, [3]), 1e-6);

describe("trace", () => {
  test("a native op is one line with its forms and attributes", () => {
    const { lines, counts, result } = trace(() => call(backend));
    expect(result.shape).toEqual([2, 3]);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({
      depth: 0,
      op: "rmsNorm",
      inputs: ["f32[2,3]", "f32[3]"],
      outputs: ["f32[2,3]"],
      attrs: { eps: 1e-6 },
      means: "native",
    });
    expect(lines[0].milliseconds).toBeGreaterThanOrEqual(0);
    expect(counts).toEqual({ rmsNorm: { native: 1, composed: 0, declined: 0 } });
  });

  test("a composed op is followed by its parts, one deeper", () => {
    const { lines, counts } = trace(() => call(without("rmsNorm")));
    expect(lines[0]).toMatchObject({ op: "rmsNorm", means: "composed", depth: 0, outputs: ["f32[2,3]"] });
    expect(lines.length).toBeGreaterThan(4);
    for (const line of lines.slice(1)) expect(line).toMatchObject({ depth: 1, means: "native" });
    expect(counts.rmsNorm).toEqual({ native: 0, composed: 1, declined: 0 });
    expect(counts.reduce.native).toBe(1);
  });

  test("a kernel that declines is told apart, gives the composite's numbers and leaves nothing", async () => {
    const declining = { ...backend, kernels: { ...backend.kernels, rmsNorm: () => DECLINED } } as Backend;
    const before = backend.memory.usage().buffers;
    const { result, lines, counts } = trace(() => scope(() => call(declining)));
    expect(backend.memory.usage().buffers).toBe(before + 1);
    expect(lines[0].means).toBe("declined");
    expect(counts.rmsNorm).toEqual({ native: 0, composed: 0, declined: 1 });
    expect(await bits(result)).toEqual(await bits(scope(() => call(without("rmsNorm")))));
  });

  test("depth counts nesting through composites within composites", () => {
    const b = without("expertMlp", "expertLinear", "linear");
    const { lines } = trace(
      () =>
      expertMlp(normal(b, 1, [2, 4]), normal(b, 2, [3, 4, 4]), normal(b, 3, [3, 4, 2]), ints(b, [0, 1], [2, 1]), normal(b, 4, [2, 1])), // prettier-ignore
    );
    const depthOf = (op: string): Set<number> => new Set(lines.filter((l) => l.op === op).map(({ depth }) => depth));
    expect([depthOf("expertMlp"), depthOf("expertLinear"), depthOf("linear"), depthOf("matmul")]).toEqual([
      new Set([0]),
      new Set([1]),
      new Set([2]),
      new Set([3]),
    ]);
  });

  test("prints a line per call, deeper ones indented, undefined operands as -", () => {
    const b = without("linear");
    const text = trace(() => linear(normal(b, 1, [2, 3]), normal(b, 2, [4, 3]))).toString();
    const [first, second] = text.split("\n");
    expect(first).toMatch(/^linear\(f32\[2,3\], f32\[4,3\], -\) -> f32\[2,4\] +composed +\d+\.\d+ ms$/);
    expect(second).toMatch(/^ {2}matmul\(f32\[2,3\], f32\[4,3\]\) -> f32\[2,4\] +native/);
  });

  test("ends with its function, also when that throws; traces nest", () => {
    const x = normal(backend, 1, [2]);
    expect(() => trace(() => void add(x, normal(backend, 1, [3])))).toThrow("broadcast");
    const outer = trace(() => {
      const inner = trace(() => add(x, x));
      add(x, x);
      return inner.lines.length;
    });
    expect([outer.result, outer.lines.length]).toEqual([1, 2]);
    add(x, x);
    expect(outer.lines).toHaveLength(2);
  });
});

describe("observe", () => {
  test("counts the kernels that ran, and resets", () => {
    const watched = observe(backend);
    const x = normal(watched, 1, [2, 3]);
    add(add(x, x), x);
    rmsNorm(x, normal(watched, 2, [3]), 1e-6);
    expect([...watched.calls].map(([op, { count }]) => [op, count])).toEqual([
      ["binary", 2],
      ["rmsNorm", 1],
    ]);
    for (const { milliseconds } of watched.calls.values()) expect(milliseconds).toBeGreaterThanOrEqual(0);
    watched.reset();
    expect(watched.calls.size).toBe(0);
    add(x, x);
    expect(watched.calls.get("binary")?.count).toBe(1);
  });

  test("a declined kernel is not counted, its composite's kernels are", () => {
    const declining = { ...backend, kernels: { ...backend.kernels, rmsNorm: () => DECLINED } } as Backend;
    const watched = observe(declining);
    call(watched);
    expect(watched.calls.has("rmsNorm")).toBe(false);
    expect(watched.calls.get("unary")?.count).toBe(1);
  });

  test("tells each command, and its tensors mix with the backend's own", async () => {
    const commands: Command[] = [];
    const watched = observe(backend, { onCommand: (command) => void commands.push(command) });
    const x = normal(backend, 1, [2]);
    const y = add(normal(watched, 1, [2]), x);
    expect(commands).toMatchObject([{ op: "binary", attrs: { op: "add" }, outputs: [y.view] }]);
    expect(await numbers(y)).toEqual((await numbers(x)).map((v) => Math.fround(2 * v)));
  });

  test("changes no bit", async () => {
    expect(await bits(call(observe(backend)))).toEqual(await bits(call(backend)));
  });
});
