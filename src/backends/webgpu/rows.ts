// Kernels over rows: a workgroup per row, and numbers go by fours where the width allows.
import type { DType } from "../../core/dtype.js";
import type { View } from "../../core/view.js";
import type { Engine } from "./engine.js";
import { variants, type Shader } from "./shader.js";
import { reduction } from "./wgsl.js";

/** What rows of some width and a device ask for. */
export interface RowForm {
  /** Accessors of `Numbers`: `x${get}(i)` and `y${set}(i, numbers)`. */
  readonly get: "_at" | "_vec";
  readonly set: "_set" | "_set_vec";
  /** `all_sum` and `all_max` over the lanes of a row. */
  readonly sum: string;
  readonly max: string;
}

export interface RowKernel {
  readonly name: string;
  readonly reads: Readonly<Record<string, DType>>;
  readonly writes: Readonly<Record<string, DType>>;
  /** Behind `width`. */
  readonly params?: Readonly<Record<string, DType>>;
  /**
   * Functions, and `fn row_of(row: u32, begin: u32, end: u32, lane: u32)`: the lane's numbers of a row are those from `begin` to below `end`
   * by STRIDE, `Numbers` (an f32, or four) at a time. All lanes run it.
   */
  readonly code: string;
}

export type RowShaders = (form: string) => Shader;

const fours = `
alias Numbers = vec4f;
const STEP = 4u;
fn across_sum(v: vec4f) -> f32 { return (v.x + v.y) + (v.z + v.w); }
fn across_max(v: vec4f) -> f32 { return max(max(v.x, v.y), max(v.z, v.w)); }`;
const ones = `
alias Numbers = f32;
const STEP = 1u;
fn across_sum(v: f32) -> f32 { return v; }
fn across_max(v: f32) -> f32 { return v; }`;

/** A kernel's shaders by the form of its rows. */
export const rowShaders = (make: (form: RowForm) => RowKernel): RowShaders =>
  variants((key: string): Shader => {
    const [lanes, vectors, subgroups] = JSON.parse(key) as readonly [number, boolean, boolean];
    const { name, reads, writes, params, code } = make({
      get: vectors ? "_vec" : "_at",
      set: vectors ? "_set_vec" : "_set",
      sum: reduction("all_sum", lanes, { subgroups }),
      max: reduction("all_max", lanes, { subgroups }),
    });
    return {
      name,
      reads,
      writes,
      params: { width: "u32", ...params },
      lanes,
      code: `${vectors ? fours : ones}
const STRIDE = LANES * STEP;
${code.trim()}
fn run(row: u32, lane: u32) { row_of(row, lane * STEP, params.width, lane); }`,
    };
  });

interface Rows {
  readonly rows: number;
  readonly width: number;
}

/** One dispatch over all rows. */
export function dispatchRows(
  engine: Engine,
  shaders: RowShaders,
  { rows, width }: Rows,
  views: readonly View[],
  numbers: readonly number[] = [],
): void {
  const shader = shaders(JSON.stringify([lanesOf(width), width % 4 === 0, engine.abilities.subgroups]));
  engine.dispatch(shader, views, [width, ...numbers], rows);
}

/**
 * Lanes for a row of so many numbers, 8 to 16 rounds of fours for each while rows are not long: few lanes make a barrier cheap, which on
 * emulated devices costs more than all else.
 */
export function lanesOf(width: number): number {
  if (width <= 1024) return 32;
  return width <= 4096 ? 64 : 256;
}
