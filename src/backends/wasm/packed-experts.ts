// Products with the packed weights of experts: few slots one by one, many grouped by expert.
import type { Matrix, View } from "../../core/view.js";
import { DECLINED, type Activations } from "../backend.js";
import { PACKED_SLOT_DOWN, PACKED_SLOT_GATED, PACKED_SLOT_LINEAR } from "./codes.js";
import type { Engine } from "./engine.js";
import { columnsOfSlot } from "./experts.js";
import { DOT_SCRATCH, weightOf, round, roundBytes } from "./packed-products.js";

/** Up to so many slots, grouping them gains nothing: most have an expert of their own. */
const FEW_SLOTS = 16;

/** y[r, j] = W[experts[r, j]] x[r] (or x[r, j]). */
export function packedExpertLinear(
  engine: Engine,
  x: View,
  weight: Matrix,
  experts: View,
  y: View,
  activations: Activations,
): void | typeof DECLINED {
  const [numExperts, outs] = weight.shape;
  const [rows, k] = experts.shape;
  const slots = rows * k;
  if (slots === 0 || outs === 0) return;
  if (slots > FEW_SLOTS) return DECLINED;
  const packed = weightOf(engine, weight, activations);
  const given = x.shape.length === 2 ? rows : slots;
  const [rounded, scratch, sums] = engine.scratch(...roundBytes(engine, packed, given), DOT_SCRATCH * engine.threads);
  const from = round(engine, packed, engine.at(x), given, rounded, scratch);
  const each = columnsOfSlot(outs, packed.width * packed.effort);
  const result = [engine.at(y), outs * 4, each, sums, engine.at(experts), numExperts];
  const words = [...packed.words, from, packed.rowBytes, slots / given, outs, packed.width, ...result];
  engine.launch(PACKED_SLOT_LINEAR, slots * Math.ceil(outs / each), words);
}

/** The operands of expertMlp. */
export interface PackedMlp {
  readonly x: View;
  readonly gateUp: Matrix;
  readonly down: Matrix;
  readonly experts: View;
  readonly weights: View;
  readonly y: View;
}

export function packedExpertMlp(engine: Engine, mlp: PackedMlp, activations: Activations): void | typeof DECLINED {
  const [rows, k] = mlp.experts.shape;
  if (rows * mlp.down.shape[1] === 0) return;
  if (rows * k > FEW_SLOTS) return DECLINED;
  bySlot(engine, mlp, activations);
}

/** The hidden numbers of each slot, then columns of y over all slots of a row; x and the hidden numbers may be rounded before. */
function bySlot(engine: Engine, { x, gateUp, down, experts, weights, y }: PackedMlp, activations: Activations): void {
  const [rows, k] = experts.shape;
  const [numExperts, width, hidden] = down.shape;
  const slots = rows * k;
  const first = weightOf(engine, gateUp, activations);
  const second = weightOf(engine, down, activations);
  const [firstRows, firstThreads] = roundBytes(engine, first, rows);
  const [secondRows, secondThreads] = roundBytes(engine, second, slots);
  const [rounded, scratch, sums, inner, innerRounded] = engine.scratch(
    firstRows,
    Math.max(firstThreads, secondThreads),
    DOT_SCRATCH * engine.threads,
    slots * hidden * 4,
    secondRows,
  );
  const chosen = [sums, engine.at(experts), numExperts];
  const from = round(engine, first, engine.at(x), rows, rounded, scratch);
  const forHidden = columnsOfSlot(hidden, 2 * width * first.effort);
  const gated = [from, first.rowBytes, k, hidden, width, inner, hidden * 4, forHidden, ...chosen];
  engine.launch(PACKED_SLOT_GATED, slots * Math.ceil(hidden / forHidden), [...first.words, ...gated]);
  const between = round(engine, second, inner, slots, innerRounded, scratch);
  const forWidth = columnsOfSlot(width, k * hidden * second.effort);
  const summed = [between, second.rowBytes, k, width, hidden, engine.at(y), width * 4, forWidth, ...chosen];
  const words = [...second.words, ...summed, engine.at(weights)];
  engine.launch(PACKED_SLOT_DOWN, rows * Math.ceil(width / forWidth), words);
}
