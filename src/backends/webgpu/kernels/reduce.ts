// Sum, maximum or minimum over some axes: a workgroup per element of y, whose lanes take turns at the elements of x that belong to it.
import { sizeOf, stridesOf } from "../../../core/shape.js";
import type { Kernels } from "../../backend.js";
import { broadcastStrides, mergedLoops } from "../../loops.js";
import type { Engine } from "../engine.js";
import type { Shader } from "../shader.js";
import type { DType } from "../../../core/dtype.js";

const LANES = 64;
const made = new Map<string, Shader>();

const neutral: Readonly<Record<string, string>> = {
  "sum f32": "0.0",
  "sum i32": "0",
  "sum u32": "0u",
  "max f32": "-3.4028234663852886e38",
  "min f32": "3.4028234663852886e38",
  "max i32": "(-2147483647 - 1)",
  "min i32": "2147483647",
  "max u32": "0u",
  "min u32": "4294967295u",
};

function shaderOf(op: "sum" | "max" | "min", type: DType, kept: number, reduced: number): Shader {
  const key = [op, type, kept, reduced].join();
  const known = made.get(key);
  if (known !== undefined) return known;
  const params: Record<string, DType> = { count: "u32" };
  const walk = (prefix: string, loops: number, from: string): string =>
    Array.from({ length: loops }, (_, i) => {
      params[`${prefix}_extent${i}`] = "u32";
      params[`${prefix}_stride${i}`] = "u32";
      return `at += (${from} % params.${prefix}_extent${i}) * params.${prefix}_stride${i}; ${from} /= params.${prefix}_extent${i};`;
    }).join(" ");
  const combine = op === "sum" ? "total + x_at(at)" : `${op}(total, x_at(at))`;
  const join = op === "sum" ? "parts[lane] + parts[lane + half]" : `${op}(parts[lane], parts[lane + half])`;
  const outer = walk("kept", kept, "rest");
  const inner = walk("gone", reduced, "rest");
  const shader: Shader = {
    name: `reduce-${op}`,
    reads: { x: type },
    writes: { y: type },
    params,
    lanes: LANES,
    code: `
var<workgroup> parts: array<${type}, LANES>;
fn run(group: u32, lane: u32) {
  var first = 0u;
  { var rest = group; var at = 0u; ${outer} first = at; }
  var total = ${neutral[`${op} ${type}`]};
  for (var i = lane; i < params.count; i += LANES) {
    var rest = i; var at = first; ${inner}
    total = ${combine};
  }
  parts[lane] = total;
  workgroupBarrier();
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    if (lane < half) { parts[lane] = ${join}; }
    workgroupBarrier();
  }
  if (lane == 0u) { y_set(group, parts[0]); }
}`,
  };
  made.set(key, shader);
  return shader;
}

export const reduce =
  (engine: Engine): Kernels["reduce"] =>
  ([x], [y], { op }) => {
    const loops = mergedLoops(x.shape, [stridesOf(x.shape), broadcastStrides(y.shape, x.shape)]).reverse();
    const kept = loops.filter(({ strides: [, ofY] }) => ofY > 0);
    const gone = loops.filter(({ strides: [, ofY] }) => ofY === 0);
    const count = gone.reduce((product, { extent }) => product * extent, 1);
    const numbers = [...kept, ...gone].flatMap(({ extent, strides: [ofX] }) => [extent, ofX]);
    engine.dispatch(shaderOf(op, x.dtype, kept.length, gone.length), [x, y], [count, ...numbers], sizeOf(y.shape));
  };
