// y[r] = sum over slots j of weights[r, j] * down[e](silu(gate[e] x) * up[e] x), e = experts[r, j]; gateUp holds gate's rows, then up's. Few
// slots take two products; many are grouped by expert first, and their results wait for the sum in slot order.
import { DECLINED, type Kernels } from "../../backend.js";
import type { Engine } from "../engine.js";
import { groupSlots } from "../expert-groups.js";
import { expertMatrix, leftRows } from "../expert-operands.js";
import { byColumns, groupedProducts, groupedViews, type GroupedProduct } from "../expert-products.js";
import { fewSlots, slotProducts, slotViews, summedProducts, sumViews, type SlotProduct } from "../expert-vectors.js";
import { MAX_WINDOWS } from "../pipelines.js";
import { sumSlots } from "./combine-experts.js";

export const expertMlp =
  (engine: Engine): Kernels["expertMlp"] =>
  ([x, gateUp, down, experts, weights], [y], { activations }) => {
    const [first, second] = [expertMatrix(gateUp), expertMatrix(down)];
    const [rows, k] = experts.shape;
    const slots = rows * k;
    if (slots * second.width * 4 > engine.memory.maxBytes) return DECLINED;
    const hidden = engine.scratch("f32", slots, second.width);
    const left = leftRows(engine, x, rows, first, activations);
    if (fewSlots(slots, first)) {
      const inner: SlotProduct = { x: left, weight: first, chosen: experts, slotsPerRow: k, y: hidden };
      if (engine.bindings(...slotViews(inner)) > MAX_WINDOWS) return DECLINED;
      slotProducts(engine, "swiglu", inner);
      const outer: SlotProduct = {
        ...inner,
        x: leftRows(engine, hidden, slots, second, activations),
        weight: second,
        y,
      };
      if (engine.bindings(...sumViews(outer, weights)) <= MAX_WINDOWS) {
        summedProducts(engine, outer, weights);
        return undefined;
      }
      // With the slots' products on the way one operand less is bound at a time.
      const products = engine.scratch("f32", slots, second.rows);
      const apart: SlotProduct = { ...outer, slotsPerRow: 1, y: products };
      if (engine.bindings(...slotViews(apart)) > MAX_WINDOWS) return DECLINED;
      slotProducts(engine, "rows", apart);
      sumSlots(engine, { ...products, shape: [rows, k, second.rows] }, weights, y, 0);
      return undefined;
    }
    const groups = groupSlots(engine, experts, first.experts);
    const inner: GroupedProduct = {
      result: "swiglu",
      x: left,
      weight: first,
      groups,
      slotsPerRow: k,
      y: hidden,
      from: 0,
    };
    if (engine.bindings(...groupedViews(inner)) > MAX_WINDOWS) return DECLINED;
    groupedProducts(engine, inner);
    const outer: GroupedProduct = {
      ...inner,
      result: "rows",
      x: leftRows(engine, hidden, slots, second, activations),
      weight: second,
      slotsPerRow: 1,
    };
    if (engine.bindings(...groupedViews(outer)) > MAX_WINDOWS) return DECLINED;
    byColumns(engine, slots, second.rows, (products, from) => {
      groupedProducts(engine, { ...outer, y: products, from });
      const [, columns] = products.shape;
      sumSlots(engine, { ...products, shape: [rows, k, columns] }, weights, y, from);
    });
    return undefined;
  };
