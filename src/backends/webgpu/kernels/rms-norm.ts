// y = x / sqrt(mean(x^2) + eps) * weight over the last axis: a workgroup per row.
import { rowsOf } from "../../../core/shape.js";
import type { Kernels } from "../../backend.js";
import type { Engine } from "../engine.js";
import { variants, type Shader } from "../shader.js";
import { reduction } from "../wgsl.js";

const LANES = 256;

const shaders = variants((subgroups: "subgroups" | "plain"): Shader => ({
  name: "rms-norm",
  reads: { x: "f32", weight: "f32" },
  writes: { y: "f32" },
  params: { width: "u32", eps: "f32" },
  lanes: LANES,
  code: `
${reduction("all_sum", LANES, { subgroups: subgroups === "subgroups" })}
fn run(group: u32, lane: u32) {
  let first = group * params.width;
  var squares = 0.0;
  for (var i = lane; i < params.width; i += LANES) { let value = x_at(first + i); squares += value * value; }
  let scale = inverseSqrt(all_sum(lane, squares) / f32(params.width) + params.eps);
  for (var i = lane; i < params.width; i += LANES) { y_set(first + i, x_at(first + i) * scale * weight_at(i)); }
}`,
}));

export const rmsNorm =
  (engine: Engine): Kernels["rmsNorm"] =>
  ([x, weight], [y], { eps }) => {
    const { rows, width } = rowsOf(x.shape);
    if (width === 0) return;
    const shader = shaders(engine.abilities.subgroups ? "subgroups" : "plain");
    engine.dispatch(shader, [x, weight, y], [width, eps], rows);
  };
