// What lies between the joined projection of an attention block and its cache: split, normalise and turn the heads.
import type { RopeLayout } from "../backends/backend.js";
import { ShapeError } from "../core/errors.js";
import { showShape } from "../core/shape.js";
import { dispatch } from "../tensor/dispatch.js";
import type { OpDef } from "../tensor/op.js";
import type { Tensor } from "../tensor/tensor.js";
import { concat } from "./concat.js";
import { expectDType, expectInteger, expectRank, expectShape } from "./expect.js";
import { zeros } from "./fill.js";
import { reshape } from "./reshape.js";
import { rmsNormGrad } from "./rms-norm-grad.js";
import { rmsNorm } from "./rms-norm.js";
import { expectTable, rope } from "./rope.js";
import { slice } from "./slice.js";

const def: OpDef<"qkNormRope"> = {
  name: "qkNormRope",
  infer([qkv, qWeight, kWeight, table, rows], { numHeads, numKvHeads, layout }) {
    expectInteger("qkNormRope", "numHeads", numHeads, 1);
    expectInteger("qkNormRope", "numKvHeads", numKvHeads, 1);
    expectDType("qkNormRope", "qkv", qkv);
    expectRank("qkNormRope", "qkv", qkv, 3, "[B, T, (H + 2 Hkv) d]");
    const [B, T, width] = qkv.shape;
    const heads = numHeads + 2 * numKvHeads;
    if (width % heads !== 0) {
      throw new ShapeError(
        `qkNormRope: the last axis of qkv must be a multiple of H + 2 Hkv = ${heads}, got ${showShape(qkv.shape)}`,
      );
    }
    const d = width / heads;
    for (const [what, weight] of [["qWeight", qWeight] as const, ["kWeight", kWeight] as const]) {
      if (!weight) continue;
      expectDType("qkNormRope", what, weight);
      expectShape("qkNormRope", what, weight, [d], "the size of a head of qkv", qkv);
    }
    expectTable("qkNormRope", table, rows, layout, [B, T], d);
    return [{ shape: [B, T, numHeads, d] }, { shape: [B, T, numKvHeads, d] }, { shape: [B, T, numKvHeads, d] }];
  },
  composite([qkv, qWeight, kWeight, table, rows], attrs) {
    const [q, k, v] = split(qkv, attrs);
    const turned = (x: Tensor, weight: Tensor | undefined): Tensor =>
      rope(weight ? rmsNorm(x, weight, attrs.eps) : x, table, rows, { layout: attrs.layout });
    return [turned(q, qWeight), turned(k, kWeight), v];
  },
  vjp([qkv, qWeight, kWeight, table, rows], [qOut, kOut, vOut], [dq, dk, dv], attrs, [wantsQkv, wantsQ, wantsK]) {
    const { eps, layout } = attrs;
    const [q, k] = split(qkv, attrs);
    const back = (x: Tensor, weight: Tensor | undefined, dy: Tensor | undefined, wantsWeight: boolean): Pair => {
      if (!dy) return [undefined, undefined];
      const dTurned = rope(dy, table, rows, { layout, inverse: true });
      return weight ? rmsNormGrad(x, weight, dTurned, eps, [wantsQkv, wantsWeight]) : [dTurned, undefined];
    };
    const [fromQ, dqWeight] = back(q, qWeight, dq, wantsQ);
    const [fromK, dkWeight] = back(k, kWeight, dk, wantsK);
    if (!wantsQkv) return [undefined, dqWeight, dkWeight, undefined, undefined];
    const parts = [fromQ ?? zerosLike(qOut), fromK ?? zerosLike(kOut), dv ?? zerosLike(vOut)];
    return [reshape(concat(parts, 2), qkv.shape), dqWeight, dkWeight, undefined, undefined];
  },
};

type Pair = readonly [dx: Tensor | undefined, dWeight: Tensor | undefined];
const zerosLike = (x: Tensor): Tensor => zeros(x.backend, x.shape);

/** The heads of q, k and v, f32 [B, T, heads, d]. */
function split(qkv: Tensor, { numHeads, numKvHeads }: QkNormRopeOptions): readonly [q: Tensor, k: Tensor, v: Tensor] {
  const [B, T, width] = qkv.shape;
  const heads = numHeads + 2 * numKvHeads;
  const d = width / heads;
  const all = reshape(qkv, [B, T, heads, d]);
  const some = (from: number, count: number): Tensor => slice(all, [0, 0, from, 0], [B, T, count, d]);
  return [some(0, numHeads), some(numHeads, numKvHeads), some(numHeads + numKvHeads, numKvHeads)];
}

export interface QkNormRopeOptions {
  readonly numHeads: number;
  readonly numKvHeads: number;
  /** Of the norms of q and k. */
  readonly eps: number;
  /** "half" unless given. */
  readonly layout?: RopeLayout;
}

/**
 * Splits qkv into heads, normalises those of q and k where a weight is given (rmsNorm over d), and turns both (rope); v is copied.
 * @param qkv f32 [B, T, (H + 2 Hkv) d] @param qWeight f32 [d] @param kWeight f32 [d] @param table f32 [rows, r] @param rows i32 [B, T]
 * @returns q f32 [B, T, H, d], k and v f32 [B, T, Hkv, d]
 * @throws ShapeError, DTypeError, ConfigError
 */
export function qkNormRope(
  qkv: Tensor,
  qWeight: Tensor | undefined,
  kWeight: Tensor | undefined,
  table: Tensor,
  rows: Tensor,
  { numHeads, numKvHeads, eps, layout = "half" }: QkNormRopeOptions,
): { readonly q: Tensor; readonly k: Tensor; readonly v: Tensor } {
  const attrs = { numHeads, numKvHeads, eps, layout };
  const [q, k, v] = dispatch(def, [qkv, qWeight, kWeight, table, rows], attrs);
  return { q, k, v };
}
