// Shaders that put elements of rows in order: the largest first, equal ones by index, NaN last. Between dispatches an element is its index.
import type { DType } from "../../core/dtype.js";
import { rankKey } from "./rank-key.js";
import { variants, type Shader } from "./shader.js";
import { joined } from "./wgsl.js";

const LANES = 256;
/** The longest row in which every element is compared with every other. */
export const COUNTED = 512;
/** The most elements that a workgroup sorts: pairs of words, in 16 KiB. */
export const SORTED = 2048;
/** Runs that are merged at a time. */
export const WAYS = 16;

/** What a dispatch leaves: the result, or indices for the next one. */
export type Result = "last" | "between";

const order = `${rankKey}
// Of pairs of key and index.
fn before(a: vec2u, b: vec2u) -> bool { return a.x > b.x || (a.x == b.x && a.y < b.y); }
// Behind all others.
const NOTHING = vec2u(0u, 0xffffffffu);`;

const writes = (result: Result): Record<string, DType> =>
  result === "last" ? { values: "u32", indices: "i32" } : { chosen: "u32" };
/** `fn put(row: u32, place: u32, index: u32)`, where place counts through all rows. */
const put = (result: Result): string =>
  result === "last"
    ? "fn put(row: u32, place: u32, index: u32) { values_set(place, x_at(row * params.n + index)); indices_set(place, i32(index)); }"
    : "fn put(row: u32, place: u32, index: u32) { chosen_set(place, index); }";

/** A workgroup per row: each element counts how many come before it. */
export const counting: (lanes: 64 | 256) => Shader = variants((lanes: 64 | 256): Shader => ({
  name: "top-k-counting",
  reads: { x: "u32" },
  writes: writes("last"),
  params: { n: "u32", k: "u32" },
  lanes,
  code: `
${order}
${put("last")}
var<workgroup> keys: array<u32, ${COUNTED}>;
fn run(row: u32, lane: u32) {
  for (var i = lane; i < params.n; i += LANES) { keys[i] = rank_key(x_at(row * params.n + i)); }
  workgroupBarrier();
  for (var own = lane; own < params.n; own += LANES) {
    let mine = keys[own];
    var rank = 0u;
    for (var i = 0u; i < own; i++) { rank += u32(keys[i] >= mine); }
    for (var i = own + 1u; i < params.n; i++) { rank += u32(keys[i] > mine); }
    if (rank < params.k) { put(row, row * params.k + rank, own); }
  }
}`,
}));

/** A workgroup per part of a row: its first element. `from` says of what the parts are: all elements, or those that were chosen. */
export const firsts: (key: string) => Shader = variants((key: string): Shader => {
  const { from, result, subgroups } = JSON.parse(key) as {
    readonly from: "all" | "found";
    readonly result: Result;
    readonly subgroups: boolean;
  };
  const combine = (a: string, b: string): string => `earlier(${a}, ${b})`;
  return {
    name: "top-k-firsts",
    reads: { x: "u32", ...(from === "found" && { found: "u32" as const }) },
    writes: writes(result),
    params: { n: "u32", count: "u32", length: "u32", parts: "u32" },
    lanes: LANES,
    code: `
${order}
fn earlier(a: vec2u, b: vec2u) -> vec2u { return select(b, a, before(a, b)); }
${joined({ name: "first_of", type: "vec2u", combine, lanes: LANES, subgroups })}
${put(result)}
fn run(group: u32, lane: u32) {
  let row = group / params.parts;
  let start = group % params.parts * params.length;
  let end = min(start + params.length, params.count);
  var best = NOTHING;
  for (var i = start + lane; i < end; i += LANES) {
    let index = ${from === "all" ? "i" : "found_at(row * params.count + i)"};
    best = earlier(best, vec2u(rank_key(x_at(row * params.n + index)), index));
  }
  let first = first_of(lane, best);
  if (lane == 0u) { put(row, group, first.y); }
}`,
  };
});

/** A workgroup per `chunk` elements of a row, a power of two: the k first of them, in order (Batcher 1968). */
export const sorting: (key: string) => Shader = variants((key: string): Shader => {
  const { chunk, result } = JSON.parse(key) as { readonly chunk: number; readonly result: Result };
  return {
    name: "top-k-sorting",
    reads: { x: "u32" },
    writes: writes(result),
    params: { n: "u32", k: "u32", runs: "u32" },
    lanes: LANES,
    code: `
${order}
${put(result)}
const CHUNK = ${chunk}u;
var<workgroup> pairs: array<vec2u, CHUNK>;
fn run(group: u32, lane: u32) {
  let row = group / params.runs;
  let first = group % params.runs * CHUNK;
  for (var i = lane; i < CHUNK; i += LANES) {
    pairs[i] = NOTHING;
    if (first + i < params.n) { pairs[i] = vec2u(rank_key(x_at(row * params.n + first + i)), first + i); }
  }
  workgroupBarrier();
  for (var size = 2u; size <= CHUNK; size *= 2u) {
    for (var step = size / 2u; step > 0u; step /= 2u) {
      for (var i = lane; i < CHUNK / 2u; i += LANES) {
        let low = i / step * step * 2u + i % step;
        let a = pairs[low];
        let b = pairs[low + step];
        if (before(b, a) == ((low & size) == 0u)) {
          pairs[low] = b;
          pairs[low + step] = a;
        }
      }
      workgroupBarrier();
    }
  }
  let kept = min(params.k, min(CHUNK, params.n - first));
  for (var i = lane; i < kept; i += LANES) { put(row, group * min(params.k, CHUNK) + i, pairs[i].y); }
}`,
  };
});

/**
 * A lane per element of a run: its place among {@link WAYS} runs is its own and, found by halving, that in each of the others. A run has the
 * k first of `span` elements, fewer where the row ends.
 */
export const merging: (result: Result) => Shader = variants((result: Result): Shader => ({
  name: "top-k-merging",
  reads: { x: "u32", found: "u32" },
  writes: writes(result),
  params: { elements: "u32", n: "u32", k: "u32", span: "u32", runs: "u32" },
  lanes: LANES,
  code: `
${order}
${put(result)}
fn length_of(run: u32) -> u32 { return min(params.k, min(params.span, params.n - run * params.span)); }
fn run(group: u32, lane: u32) {
  let item = group * LANES + lane;
  if (item >= params.elements) { return; }
  let most = min(params.k, params.span);
  let row = item / most / params.runs;
  let own = item / most % params.runs;
  let place = item % most;
  if (place >= length_of(own)) { return; }
  let index = found_at(item);
  let mine = vec2u(rank_key(x_at(row * params.n + index)), index);
  let base = own / ${WAYS}u * ${WAYS}u;
  var rank = place;
  for (var other = base; other < min(base + ${WAYS}u, params.runs); other++) {
    if (other == own) { continue; }
    let start = (row * params.runs + other) * most;
    var low = 0u;
    var high = length_of(other);
    while (low < high) {
      let middle = (low + high) / 2u;
      let candidate = found_at(start + middle);
      if (before(vec2u(rank_key(x_at(row * params.n + candidate)), candidate), mine)) { low = middle + 1u; } else { high = middle; }
    }
    rank += low;
  }
  let merged = (params.runs + ${WAYS - 1}u) / ${WAYS}u;
  let kept = min(params.k, params.span * ${WAYS}u);
  if (rank < kept) { put(row, (row * merged + own / ${WAYS}u) * kept + rank, index); }
}`,
}));
