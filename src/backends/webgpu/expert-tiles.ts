// Tiles of products with experts' weights: up to 32 rows by 64 columns, whose 64 lanes stand in a square and have up to 4 x 8 sums each. Both sides lie in workgroup memory, 16 vectors of numbers along the inner extent, or of sixteen codes.

export const TILE_LANES = 64;
export const TILE_COLUMNS = 64;
const SIDE = 8;
/** Vectors along the inner extent of a tile, and between its rows: an odd number, so that rows begin at different banks. */
const VECTORS = 4;
const STRIDE = VECTORS + 1;

const halves = Array.from({ length: TILE_COLUMNS / SIDE / 4 }, (_, h) => h);
const steps = ["x", "y", "z", "w"];

/** How a side lies in memory: rows along the inner extent, or `turned`, along the tile's rows. */
export type Direction = "straight" | "turned";

/** `fn NAME_load(lane: u32, k: u32)` for `fn NAME_inside(row: u32, column: u32) -> vec4f`; one of both counts in the tile, the other from k. */
function numberLoader(name: "a" | "b", size: number, direction: Direction): string {
  const straight = `
  for (var i = lane; i < ${size * VECTORS}u; i += LANES) {
    let row = i / ${VECTORS}u;
    let column = i % ${VECTORS}u;
    ${name}_tile[row * ${STRIDE}u + column] = ${name}_inside(row, k + 4u * column);
  }`;
  const turned = `
  for (var i = lane; i < ${(size / 4) * VECTORS}u; i += LANES) {
    let at = i % ${size / 4}u * 4u;
    let row = i / ${size / 4}u;
    let quads = transpose(mat4x4f(${steps.map((_, step) => `${name}_inside(k + 4u * row + ${step}u, at)`).join(", ")}));
    for (var j = 0u; j < 4u; j++) { ${name}_tile[(at + j) * ${STRIDE}u + row] = quads[j]; }
  }`;
  return `
var<workgroup> ${name}_tile: array<vec4f, ${size * STRIDE}>;
fn ${name}_load(lane: u32, k: u32) {${direction === "turned" ? turned : straight}
}`;
}

/**
 * The same for `fn NAME_inside(row: u32, column: u32) -> vec4u`, sixteen codes, and `fn NAME_scale_inside(row: u32, column: u32) -> f32`, that
 * of the block.
 */
function codeLoader(name: "a" | "b", size: number): string {
  return `
var<workgroup> ${name}_tile: array<vec4u, ${size * STRIDE}>;
var<workgroup> ${name}_scales: array<f32, ${(size * VECTORS) / 2}>;
fn ${name}_load(lane: u32, k: u32) {
  for (var i = lane; i < ${size * VECTORS}u; i += LANES) {
    let row = i / ${VECTORS}u;
    let column = i % ${VECTORS}u;
    ${name}_tile[row * ${STRIDE}u + column] = ${name}_inside(row, k + 16u * column);
    if (column % 2u == 0u) { ${name}_scales[i / 2u] = ${name}_scale_inside(row, k + 16u * column); }
  }
}`;
}

const inTile = (name: string, base: string, vector: string, at: number): string =>
  `${name}_tile[(${base} + ${at * SIDE}u) * ${STRIDE}u + ${vector}]`;

/** A sum over a vector of the inner extent, as products that are added one by one. */
const added = (sum: string, b: string): string => steps.map((step, c) => `${sum} += a.${step} * ${b}[${c}];`).join(" ");

const numbersStep = (rows: readonly number[]): string => `
    for (var v = 0u; v < ${VECTORS}u; v++) {
      ${halves.map((h) => `let b${h} = transpose(mat4x4f(${steps.map((_, c) => inTile("b", "j", "v", 4 * h + c)).join(", ")}));`).join("\n      ")}
      ${rows.map((r) => `{ let a = ${inTile("a", "i", "v", r)}; ${halves.map((h) => added(`sum${r}_${h}`, `b${h}`)).join(" ")} }`).join("\n      ")}
    }`;

/** Two vectors, a block, at a time: their sum as integers is multiplied by both scales. */
const codesStep = (rows: readonly number[]): string => `
    for (var v = 0u; v < ${VECTORS}u; v += 2u) {
      ${rows
        .map(
          (r) =>
            `let a${r} = ${inTile("a", "i", "v", r)}; let d${r} = ${inTile("a", "i", "v + 1u", r)}; let scale${r} = a_scales[((i + ${r * SIDE}u) * ${VECTORS}u + v) / 2u];`,
        )
        .join("\n      ")}
      ${halves.flatMap((h) => steps.map((_, c) => codesColumn(rows, h, c))).join("\n      ")}
    }`;

const codesColumn = (rows: readonly number[], h: number, c: number): string => `{
        let b = ${inTile("b", "j", "v", 4 * h + c)};
        let e = ${inTile("b", "j", "v + 1u", 4 * h + c)};
        let scale = b_scales[((j + ${(4 * h + c) * SIDE}u) * ${VECTORS}u + v) / 2u];
        ${rows.map((r) => `sum${r}_${h}[${c}] += f32(dot_of(a${r}, b) + dot_of(d${r}, e)) * (scale${r} * scale);`).join("\n        ")}
      }`;

/** The text of a shader around its tile. */
export interface TileText {
  /** For `a_inside` and `b_inside`. */
  readonly loaders: string;
  /**
   * Statements that compute the tile over `depth`, which is uniform: `sumR_H` of this lane are rows `i` + 8 R and columns `j` + 32 H + 8 c
   * for the four c.
   */
  readonly sums: string;
  /** A statement for each row of a lane, given where the row lies in the tile, and its sums. */
  rows(statement: (row: string, sums: readonly string[]) => string): string;
}

/** @param size rows of the tile, a multiple of 8 up to 32 @param sides codes on both, or how the numbers of each lie */
export function tileText(size: number, sides: "codes" | readonly [a: Direction, b: Direction]): TileText {
  const rows = Array.from({ length: size / SIDE }, (_, r) => r);
  const sumsOf = (r: number): string[] => halves.map((h) => `sum${r}_${h}`);
  const coded = sides === "codes";
  return {
    loaders: coded
      ? codeLoader("a", size) + codeLoader("b", TILE_COLUMNS)
      : numberLoader("a", size, sides[0]) + numberLoader("b", TILE_COLUMNS, sides[1]),
    sums: `
  let i = lane / ${SIDE}u;
  let j = lane % ${SIDE}u;
  ${rows.flatMap((r) => sumsOf(r).map((sum) => `var ${sum} = vec4f();`)).join(" ")}
  for (var k = 0u; k < depth; k += ${(coded ? 16 : 4) * VECTORS}u) {
    workgroupBarrier();
    a_load(lane, k);
    b_load(lane, k);
    workgroupBarrier();${coded ? codesStep(rows) : numbersStep(rows)}
  }`,
    rows: (statement) => rows.map((r) => `  ${statement(`i + ${r * SIDE}u`, sumsOf(r))}`).join("\n"),
  };
}

/** Columns between neighbouring sums of a lane. */
export const TILE_STEP: number = SIDE;
