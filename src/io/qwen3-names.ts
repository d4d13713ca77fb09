// The names of Qwen3 and Qwen3-MoE checkpoints as transformers writes them: a case change, two merged matrices, and the stacking of experts.
import { CheckpointError } from "../core/errors.js";
import { sameShape, showShape, type Shape } from "../core/shape.js";
import type { ExpertLayout, FoundShapes, Names, Piece } from "./names.js";

/** What tells the rows of q, k and v apart in the merged matrix. A `Qwen3Config` fits. */
export interface HeadCounts {
  /** H */
  readonly numAttentionHeads: number;
  /** Hkv */
  readonly numKeyValueHeads: number;
  /** d */
  readonly headDim: number;
}

/**
 * Names for models whose parameters follow the library's paths. `qkvProj` is joined from `q_proj`, `k_proj`, `v_proj`, `gateUpProj` from
 * `gate_proj`, `up_proj`; `experts.gateUpProj` [E, 2 I, D] and `experts.downProj` [E, D, I] are found as one matrix per expert, as one
 * tensor, or as one tensor with its last axes swapped.
 */
export function qwen3Names(heads: HeadCounts): Names {
  return {
    find: (path, shape, found) => pieces(heads, path, shape, (base) => foundLayout(base, path, shape, found)),
    write: (path, shape, layout) => pieces(heads, path, shape, () => layout),
  };
}

/** The parameter that a checkpoint tensor belongs to: `model.layers.0.self_attn.q_proj.weight` gives `layers.0.selfAttn.qkvProj.weight`. */
export function qwen3Path(key: string): string {
  return key
    .replace(/^model\./, "")
    .replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
    .replace(/(^|\.)[qkv]Proj\./, "$1qkvProj.")
    .replace(/(^|\.)(?:gate|up)Proj\./, "$1gateUpProj.")
    .replace(/(^|\.)experts\.\d+\.(\w+)\.weight$/, "$1experts.$2");
}

/** Layouts as found in checkpoints; swapped is how Qwen3-VL-MoE stores them. */
type FoundLayout = ExpertLayout | "swapped";

function pieces(
  heads: HeadCounts,
  path: string,
  shape: Shape,
  layoutOf: (base: string) => FoundLayout,
): readonly Piece[] {
  const key = keyOf(path);
  const suffix = /\.(weight|bias)$/.exec(key)?.[0] ?? "";
  const stem = key.slice(0, key.length - suffix.length);
  const base = stem.slice(0, stem.lastIndexOf(".") + 1);
  const field = stem.slice(base.length);
  if (suffix === "") {
    const stacked = base.endsWith(".experts.") && (field === "gate_up_proj" || field === "down_proj");
    return stacked ? expertPieces(path, shape, base, field, layoutOf(base)) : [{ key, shape }];
  }
  if (field === "qkv_proj") return splitRows(shape, base, qkvRows(heads, path, shape), suffix);
  if (field !== "gate_up_proj") return [{ key, shape }];
  const half = halfOf(path, shape, 0);
  return splitRows(shape, base, { gate_proj: half, up_proj: half }, suffix);
}

/** `layers.0.selfAttn.oProj.weight` gives `model.layers.0.self_attn.o_proj.weight`. The head alone stands outside of `model`. */
function keyOf(path: string): string {
  const key = path.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  return key.startsWith("lm_head.") ? key : `model.${key}`;
}

function splitRows(shape: Shape, base: string, rows: Record<string, number>, suffix: string): Piece[] {
  return Object.entries(rows).map(([name, count]) => ({
    key: `${base}${name}${suffix}`,
    shape: [count, ...shape.slice(1)],
  }));
}

function qkvRows(heads: HeadCounts, path: string, shape: Shape): Record<string, number> {
  const { numAttentionHeads, numKeyValueHeads, headDim } = heads;
  const [q, kv] = [numAttentionHeads * headDim, numKeyValueHeads * headDim];
  if (shape[0] === q + 2 * kv) return { q_proj: q, k_proj: kv, v_proj: kv };
  if (shape[0] === 2 * q + 2 * kv) return { q_proj: 2 * q, k_proj: kv, v_proj: kv }; // an output gate beside each query head
  throw new CheckpointError(
    `${path}: must have (${numAttentionHeads} + 2 * ${numKeyValueHeads}) heads of ${headDim} rows = ${q + 2 * kv}, got ${showShape(shape)}; give qwen3Names the model's config`,
  );
}

function halfOf(path: string, shape: Shape, axis: number): number {
  if (shape[axis] % 2 === 0) return shape[axis] / 2;
  throw new CheckpointError(`${path}: must have as many rows for the gate as for up, got ${showShape(shape)}`);
}

function expertPieces(path: string, shape: Shape, base: string, field: string, layout: FoundLayout): Piece[] {
  const [count, rows, columns] = shape;
  if (layout === "swapped") return [{ key: base + field, shape: [count, columns, rows], swapped: true }];
  if (layout === "fused") return [{ key: base + field, shape }];
  const gated = field === "gate_up_proj";
  const matrix = [gated ? halfOf(path, shape, 1) : rows, columns];
  return Array.from({ length: count }, (_, expert) =>
    (gated ? ["gate_proj", "up_proj"] : [field]).map((name) => ({
      key: `${base}${expert}.${name}.weight`,
      shape: matrix,
    })),
  ).flat();
}

/**
 * Where 2 I = D one of the two fused tensors looks alike in both layouts, so the pair decides. Only a file that fits neither way is refused
 * here; a lone tensor is left to the loader, which reports the missing one.
 */
function foundLayout(base: string, path: string, shape: Shape, found: FoundShapes): FoundLayout {
  const gateUp = found.get(`${base}gate_up_proj`)?.shape;
  const down = found.get(`${base}down_proj`)?.shape;
  if (gateUp === undefined && down === undefined) return "per-expert";
  if (gateUp === undefined || down === undefined) return "fused";
  const [count, rows, columns] = shape;
  const gated = path.endsWith("gateUpProj");
  const [hidden, width] = gated ? [halfOf(path, shape, 1), columns] : [columns, rows];
  const [both, swap] = [
    [count, 2 * hidden, width],
    [count, width, 2 * hidden],
  ];
  const [out, swapOut] = [
    [count, width, hidden],
    [count, hidden, width],
  ];
  if (sameShape(gateUp, both) && sameShape(down, out)) return "fused";
  if (sameShape(gateUp, swap) && sameShape(down, swapOut)) return "swapped";
  throw new CheckpointError(
    `${base}gate_up_proj and ${base}down_proj: must have shapes ${showShape(both)} and ${showShape(out)}, or swapped ${showShape(swap)} and ${showShape(swapOut)}, got ${showShape(gateUp)} and ${showShape(down)}`,
  );
}
