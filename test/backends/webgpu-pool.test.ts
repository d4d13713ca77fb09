// Sizes of buffers, what is kept when they are free, and the text of shaders, where a device would only say that something is wrong.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Fault } from "../../src/backends/webgpu/fault.js";
import { Pool, sizeClass, type Chunk } from "../../src/backends/webgpu/pool.js";
import { sourceOf, type Shader } from "../../src/backends/webgpu/shader.js";

describe("the pool", () => {
  test("sizes are multiples of 256, at least what was asked for, and waste an eighth at most", () => {
    fc.assert(
      fc.property(fc.nat(2 ** 31), (bytes) => {
        const size = sizeClass(bytes);
        expect(size % 256).toBe(0);
        expect(size).toBeGreaterThanOrEqual(Math.max(1, bytes));
        expect(size - bytes).toBeLessThanOrEqual(Math.max(256, bytes / 8));
        expect(sizeClass(size)).toBe(size);
      }),
    );
  });

  test("keeps free buffers up to its limit, and never asks for more than the device's largest", () => {
    const destroyed: number[] = [];
    let made = 0;
    const make = (size: number): Chunk => ({
      buffer: undefined as unknown as GPUBuffer,
      id: made++,
      size,
      granted: new Fault(),
      batch: 0,
    });
    const pool = new Pool(make, ({ id }) => destroyed.push(id), { maxBytes: 1000 * 256, maxIdleBytes: 1024 });
    const chunks = [pool.take(512), pool.take(300), pool.take(100)];
    expect(chunks.map(({ size }) => size)).toEqual([512, 512, 256]);
    for (const chunk of chunks) pool.put(chunk);
    expect(pool.idleBytes).toBe(1024);
    expect(destroyed).toEqual([2]);
    expect(pool.take(511)).toBe(chunks[0]);
    expect(pool.take(1000 * 256 - 1).size).toBe(1000 * 256);
  });
});

describe("the text of a shader", () => {
  const shader: Shader = {
    name: "double",
    reads: { x: "f32" },
    writes: { y: "f32" },
    params: { count: "u32", factor: "f32" },
    lanes: 64,
    code: "fn run(group: u32, lane: u32) { y_set_vec(group * 4u, x_vec(group * 4u) * params.factor + x_at(lane)); }",
  };
  const plain = { paged: false, vectors: false };

  test("has its parameters in the order of a dispatch: groups, offsets, its own", () => {
    const [, fields] = /struct Params \{\n([^}]*)\}/.exec(sourceOf(shader, [plain, plain], 64)) ?? [];
    expect(fields.split("\n").map((line) => line.trim())).toEqual([
      "groups: u32,",
      "x_offset: u32,",
      "y_offset: u32,",
      "count: u32,",
      "factor: f32,",
      "",
    ]);
  });

  test("binds vectors where a view begins at one, and elements elsewhere", () => {
    const source = sourceOf(shader, [{ paged: false, vectors: true }, plain], 64);
    expect(source).toContain("@group(1) @binding(0) var<storage, read> x: array<vec4<f32>>;");
    expect(source).toContain("@group(1) @binding(1) var<storage, read_write> y: array<f32>;");
    expect(source).toContain("fn y_set_vec(i: u32, values: vec4<f32>) { y_set(i + 0u, values[0]);");
  });

  test("binds a large window in two pieces, next to each other", () => {
    const source = sourceOf(shader, [{ paged: true, vectors: false }, plain], 64);
    expect(source).toContain("@binding(0) var<storage, read> x: array<f32>;");
    expect(source).toContain("@binding(1) var<storage, read> x_next: array<f32>;");
    expect(source).toContain("@binding(2) var<storage, read_write> y: array<f32>;");
    expect(source).toContain("if (j < 64u) { return x[j]; } else { return x_next[(j - 64u)]; }");
  });

  test("asks for subgroups only where the body does", () => {
    expect(sourceOf(shader, [plain, plain], 64)).not.toContain("subgroup");
    const code = `${shader.code} fn all(v: f32) -> f32 { return subgroupAdd(v); }`;
    expect(sourceOf({ ...shader, code }, [plain, plain], 64)).toContain("enable subgroups;");
  });
});
