// Products of many rows: a workgroup makes a tile of y from tiles of both operands in workgroup memory, where packed numbers lie decoded.
import { DECLINED } from "../backend.js";
import { isPackedView, type Matrix, type View } from "../../core/view.js";
import type { Engine } from "./engine.js";
import { packedReads, quadDecoder, quadReader } from "./packed.js";
import { MAX_WINDOWS } from "./pipelines.js";
import { variants, type Shader } from "./shader.js";

const LANES = 64;
/** Lanes stand in a square; each has the rows and columns at this distance from each other, so that neighbours read neighbours. */
export const SIDE = 8;
/** Vectors of the inner extent in a tile. Two are 32 bytes of each row, what a memory reads at least; more would take longer to compile. */
export const QUADS = 2;
/** Vectors between rows of a tile: an odd number, so that eight lanes that read eight rows meet no bank twice. */
export const STRIDE: number = QUADS + 1;
/**
 * Rows and columns per lane. With 8 of each, 16 vectors are read from workgroup memory per 256 multiplications, few enough that arithmetic
 * takes the time, and the sums leave registers for several workgroups. Smaller ones read more, but make more workgroups.
 */
const tilings = [
  [8, 8],
  [4, 8],
  [4, 4],
  [2, 4],
] as const;
/** With fewer workgroups than this large devices are idle in part. */
const ENOUGH_GROUPS = 256;

/** A matrix of rows by the inner extent, or `turned`, the other way round. Packed ones have a scheme's format. */
export interface Side {
  readonly format: string;
  readonly parts: readonly View[];
  readonly turned: boolean;
}

/** y [batch, m, n] = a b^T + bias with a [m, depth] and b [n, depth] for each of the batch. */
export interface Product {
  readonly a: Side;
  readonly b: Side;
  readonly bias: View | undefined;
  readonly y: View;
  readonly batch: number;
  readonly m: number;
  readonly n: number;
  readonly depth: number;
}

/** What decides about one operand's code: format, whether it is turned, whether its rows are a multiple of 4 long. */
type SideKey = `${string} ${"turned" | "straight"} ${"even" | "odd"}`;

const keyOf = ({ format, turned }: Side, extent: number, depth: number): SideKey =>
  `${format} ${turned ? "turned" : "straight"} ${(turned ? extent : depth) % 4 === 0 ? "even" : "odd"}`;

/** `fn NAME_load(lane, batch, first, k)` fills NAME_tile with zeros past the ends; `extent` is the parameter that counts its rows. */
function loader(name: string, extent: string, tile: number, key: SideKey): string {
  const [format, direction, evenness] = key.split(" ");
  const straight = `
  for (var i = lane; i < ${tile * QUADS}u; i += LANES) {
    let row = first + i / ${QUADS}u;
    let column = k + i % ${QUADS}u * 4u;
    ${name}_tile[i / ${QUADS}u * ${STRIDE}u + i % ${QUADS}u] = ${name}_inside(batch, row, ${extent}, column, params.depth);
  }`;
  const turned = `
  for (var i = lane; i < ${(tile / 4) * QUADS}u; i += LANES) {
    let at = i % ${tile / 4}u * 4u;
    let row = k + i / ${tile / 4}u * 4u;
    let quads = transpose(mat4x4f(${[0, 1, 2, 3]
      .map((step) => `${name}_inside(batch, row + ${step}u, params.depth, first + at, ${extent})`)
      .join(", ")}));
    for (var j = 0u; j < 4u; j++) { ${name}_tile[(at + j) * ${STRIDE}u + i / ${tile / 4}u] = quads[j]; }
  }`;
  const height = direction === "turned" ? "params.depth" : extent;
  return `${quadReader(format, name, evenness === "even", height)}
var<workgroup> ${name}_tile: array<vec4f, ${tile * STRIDE}>;
fn ${name}_inside(batch: u32, row: u32, rows: u32, column: u32, width: u32) -> vec4f {
  if (row < rows && column < width) { return ${name}_quad(batch * rows + row, column, width); }
  return vec4f();
}
fn ${name}_load(lane: u32, batch: u32, first: u32, k: u32) {${direction === "turned" ? turned : straight}
}`;
}

/** What differs between kinds of tiles: what a step along the inner extent loads, and what it adds to the sums. */
interface Steps {
  readonly name: string;
  readonly reads: Shader["reads"];
  readonly functions: string;
  /** Numbers of the inner extent per step. */
  readonly depth: number;
  /** Calls that fill the tiles from `k` on, for the tile that begins at `row` and `column` of `batch`. */
  readonly load: string;
  /** Statements that add to the vectors sumR_H, of row R and columns 4 H to 4 H + 3 of the lane in row `i` and column `j` of the square. */
  readonly add: string;
}

/** The sums of a lane: for each row r of `tall` and each four h of `wide`. */
const perSum = (tall: number, wide: number, text: (r: number, h: number) => string): string =>
  Array.from({ length: (tall * wide) / 4 }, (_, i) => text(Math.floor((4 * i) / wide), i % (wide / 4))).join("\n  ");

/** A shader whose lanes have `tall` rows and `wide` columns each. */
export function tileShader(tall: number, wide: number, biased: boolean, steps: Steps): Shader {
  return {
    name: steps.name,
    reads: { ...steps.reads, ...(biased && { bias: "f32" }) },
    writes: { y: "f32" },
    params: { m: "u32", n: "u32", depth: "u32", row_tiles: "u32", column_tiles: "u32" },
    lanes: LANES,
    code: `
${steps.functions}
fn put(batch: u32, row: u32, column: u32, values: vec4f) {
  if (row >= params.m) { return; }
  for (var c = 0u; c < 4u; c++) {
    let at = column + c * ${SIDE}u;
    if (at < params.n) { y_set((batch * params.m + row) * params.n + at, values[c]${biased ? " + bias_at(at)" : ""}); }
  }
}
fn run(group: u32, lane: u32) {
  // Tiles that read the same part of b are neighbours.
  let row = group % params.row_tiles * ${tall * SIDE}u;
  let column = group / params.row_tiles % params.column_tiles * ${wide * SIDE}u;
  let batch = group / params.row_tiles / params.column_tiles;
  let i = lane / ${SIDE}u;
  let j = lane % ${SIDE}u;
  ${perSum(tall, wide, (r, h) => `var sum${r}_${h} = vec4f();`)}
  for (var k = 0u; k < params.depth; k += ${steps.depth}u) {
    workgroupBarrier();
    ${steps.load}
    workgroupBarrier();${steps.add}
  }
  ${perSum(tall, wide, (r, h) => `put(batch, row + ${r * SIDE}u + i, column + ${4 * h * SIDE}u + j, sum${r}_${h});`)}
}`,
  };
}

type Variant = `${number},${number},${SideKey},${SideKey},${boolean}`;

const shaders = variants((variant: Variant): Shader => {
  const [tallText, wideText, a, b, biased] = variant.split(",") as [string, string, SideKey, SideKey, string];
  const [tall, wide] = [Number(tallText), Number(wideText)];
  const format = b.split(" ")[0];
  const fours = Array.from({ length: wide / 4 }, (_, h) => h);
  const four = (h: number): string =>
    [0, 1, 2, 3].map((c) => `b_tile[b_at + ${(4 * h + c) * SIDE * STRIDE}u]`).join(", ");
  const row = (r: number): string => `
      let a${r} = a_tile[a_at + ${r * SIDE * STRIDE}u];
      ${fours.map((h) => ["x", "y", "z", "w"].map((step, c) => `sum${r}_${h} += a${r}.${step} * b${h}[${c}];`).join(" ")).join("\n      ")}`;
  return tileShader(tall, wide, biased === "true", {
    name: `product-tiles-${format}`,
    reads: { ...packedReads("f32", "a"), ...packedReads(format, "b") },
    functions: `${quadDecoder(format)}${loader("a", "params.m", tall * SIDE, a)}${loader("b", "params.n", wide * SIDE, b)}`,
    depth: 4 * QUADS,
    load: "a_load(lane, batch, row, k); b_load(lane, batch, column, k);",
    add: `
    for (var q = 0u; q < ${QUADS}u; q++) {
      let a_at = i * ${STRIDE}u + q;
      let b_at = j * ${STRIDE}u + q;
      ${fours.map((h) => `let b${h} = transpose(mat4x4f(${four(h)}));`).join("\n      ")}${Array.from({ length: tall }, (_, r) => row(r)).join("")}
    }`,
  });
});

/** Rows and columns per lane for a product of this size, and what {@link tileShader} takes. */
export function tilingOf(batch: number, m: number, n: number, depth: number): Tiling {
  const tiled = tilings.map(([tall, wide]) => {
    const rowTiles = Math.ceil(m / (tall * SIDE));
    const columnTiles = Math.ceil(n / (wide * SIDE));
    const groups = batch * rowTiles * columnTiles;
    // Half the height would do where all rows fit into that.
    const full = 2 * m > tall * SIDE;
    return {
      tall,
      wide,
      groups,
      numbers: [m, n, depth, rowTiles, columnTiles],
      enough: full && groups >= ENOUGH_GROUPS,
    };
  });
  return tiled.find(({ enough }) => enough) ?? tiled[tiled.length - 1];
}

export interface Tiling {
  readonly tall: number;
  readonly wide: number;
  readonly numbers: readonly number[];
  readonly groups: number;
}

/** @returns DECLINED where the operands need more bindings than there are */
export function tiledProduct(engine: Engine, product: Product): typeof DECLINED | undefined {
  const { a, b, bias, y, batch, m, n, depth } = product;
  const views = [...a.parts, ...b.parts, ...(bias ? [bias] : []), y];
  if (engine.bindings(...views) > MAX_WINDOWS) return DECLINED;
  const { tall, wide, numbers, groups } = tilingOf(batch, m, n, depth);
  const shader = shaders(`${tall},${wide},${keyOf(a, m, depth)},${keyOf(b, n, depth)},${bias !== undefined}`);
  engine.dispatch(shader, views, numbers, groups);
  return undefined;
}

/** A stored matrix as a side of a product. */
export const sideOf = (matrix: Matrix, turned: boolean): Side =>
  isPackedView(matrix)
    ? { format: matrix.scheme, parts: matrix.parts, turned }
    : { format: "f32", parts: [matrix], turned };
