// Products with the packed weights of experts: few slots one by one, many grouped by expert.
import type { Matrix, View } from "../../core/view.js";
import type { Activations } from "../backend.js";
import {
  PACKED_GROUP_GATED,
  PACKED_GROUP_LINEAR,
  PACKED_SLOT_DOWN,
  PACKED_SLOT_GATED,
  PACKED_SLOT_LINEAR,
} from "./codes.js";
import type { Engine } from "./engine.js";
import { byParts, type Mlp, type MlpPart } from "./expert-parts.js";
import {
  FEW_SLOTS,
  ITEM_SLOTS,
  columnsOfSlot,
  columnsPerTile,
  combine,
  groupBytes,
  groupSlots,
  maxItems,
} from "./experts.js";
import { DOT_SCRATCH, PANEL_ROWS } from "./layout.js";
import { MOST_COLUMNS, productBytes, round, roundBytes, weightOf, type Weight } from "./packed-products.js";

/** y[r, j] = W[experts[r, j]] x[r] (or x[r, j]). */
export function packedExpertLinear(
  engine: Engine,
  x: View,
  weight: Matrix,
  experts: View,
  y: View,
  activations: Activations,
): void {
  const [numExperts, outs] = weight.shape;
  const [rows, k] = experts.shape;
  const slots = rows * k;
  if (slots === 0 || outs === 0) return;
  const packed = weightOf(engine, weight, activations);
  const given = x.shape.length === 2 ? rows : slots;
  const places: Places = {
    x: engine.at(x),
    given,
    experts: engine.at(experts),
    slots,
    numExperts,
    outs,
    y: engine.at(y),
  };
  (slots <= FEW_SLOTS ? linearBySlot : linearByExpert)(engine, packed, places);
}

/** Addresses and sizes; `given`: rows of x. */
interface Places {
  readonly x: number;
  readonly given: number;
  readonly experts: number;
  readonly slots: number;
  readonly numExperts: number;
  readonly outs: number;
  readonly y: number;
}

function linearBySlot(engine: Engine, weight: Weight, places: Places): void {
  const { x, given, experts, slots, numExperts, outs, y } = places;
  const [rounded, scratch, sums] = engine.scratch(...roundBytes(engine, weight, given), DOT_SCRATCH * engine.threads);
  const from = round(engine, weight, x, given, rounded, scratch);
  const each = columnsOfSlot(outs, weight.width * weight.effort);
  const sizes = [slots / given, outs, weight.width, y, outs * 4, each, sums, experts, numExperts];
  engine.launch(PACKED_SLOT_LINEAR, slots * Math.ceil(outs / each), [...weight.words, from, weight.rowBytes, ...sizes]);
}

function linearByExpert(engine: Engine, weight: Weight, places: Places): void {
  const { x, given, experts, slots, numExperts, outs, y } = places;
  const across = acrossOf(outs, weight, slots, numExperts);
  const threadBytes = productBytes(weight, across);
  const [forRows, forThreads] = roundBytes(engine, weight, given);
  const [rounded, scratch, group] = engine.scratch(
    forRows,
    Math.max(forThreads, threadBytes * engine.threads),
    groupBytes(slots, numExperts),
  );
  const from = round(engine, weight, x, given, rounded, scratch);
  const { sources, order, items } = groupSlots(engine, group, experts, slots, numExperts, slots / given);
  const sizes = [sources, outs, weight.width, y, outs * 4, across, scratch, threadBytes, order, numExperts, items];
  const tiles = maxItems(slots, numExperts) * Math.ceil(outs / across);
  engine.launch(PACKED_GROUP_LINEAR, tiles, [...weight.words, from, weight.rowBytes, ...sizes]);
}

export function packedExpertMlp(engine: Engine, mlp: Mlp, activations: Activations): void {
  const first = weightOf(engine, mlp.gateUp, activations);
  const second = weightOf(engine, mlp.down, activations);
  byParts(
    engine,
    mlp,
    (part) => bySlot(engine, first, second, part),
    (part) => byExpert(engine, first, second, part),
  );
}

/** The hidden numbers of each slot, then columns of y over all slots of a row; x and the hidden numbers may be rounded before. */
function bySlot(engine: Engine, first: Weight, second: Weight, part: MlpPart): void {
  const { rows, slots, k, numExperts, width, hidden, x, experts, weights, y } = part;
  const [firstRows, firstThreads] = roundBytes(engine, first, rows);
  const [secondRows, secondThreads] = roundBytes(engine, second, slots);
  const [rounded, scratch, sums, inner, innerRounded] = engine.scratch(
    firstRows,
    Math.max(firstThreads, secondThreads),
    DOT_SCRATCH * engine.threads,
    slots * hidden * 4,
    secondRows,
  );
  const chosen = [sums, experts, numExperts];
  const from = round(engine, first, x, rows, rounded, scratch);
  const forHidden = columnsOfSlot(hidden, 2 * width * first.effort);
  const gated = [from, first.rowBytes, k, hidden, width, inner, hidden * 4, forHidden, ...chosen];
  engine.launch(PACKED_SLOT_GATED, slots * Math.ceil(hidden / forHidden), [...first.words, ...gated]);
  const between = round(engine, second, inner, slots, innerRounded, scratch);
  const forWidth = columnsOfSlot(width, k * hidden * second.effort);
  const summed = [between, second.rowBytes, k, width, hidden, y, width * 4, forWidth, ...chosen];
  const words = [...second.words, ...summed, weights];
  engine.launch(PACKED_SLOT_DOWN, rows * Math.ceil(width / forWidth), words);
}

/** The hidden numbers of the slots in the order of their expert, their products, and the sums of these. */
function byExpert(engine: Engine, first: Weight, second: Weight, part: MlpPart): void {
  const { rows, slots, k, numExperts, width, hidden, x, experts, weights, y } = part;
  const items = maxItems(slots, numExperts);
  const forHidden = acrossOf(hidden, first, slots, numExperts);
  const forWidth = acrossOf(width, second, slots, numExperts);
  const gatedBytes = 2 * ITEM_SLOTS * forHidden * 4 + productBytes(first, forHidden);
  const downBytes = productBytes(second, forWidth);
  const [firstRows, firstThreads] = roundBytes(engine, first, rows);
  const [secondRows, secondThreads] = roundBytes(engine, second, slots);
  const [rounded, scratch, group, inner, waiting] = engine.scratch(
    Math.max(firstRows, secondRows),
    Math.max(firstThreads, secondThreads, gatedBytes * engine.threads, downBytes * engine.threads),
    groupBytes(slots, numExperts),
    slots * hidden * 4,
    slots * width * 4,
  );
  const groups = groupSlots(engine, group, experts, slots, numExperts, k);
  const chosen = [groups.order, numExperts, groups.items];
  const from = round(engine, first, x, rows, rounded, scratch);
  const gated = [
    from,
    first.rowBytes,
    groups.sources,
    hidden,
    width,
    inner,
    hidden * 4,
    forHidden,
    scratch,
    gatedBytes,
  ];
  engine.launch(PACKED_GROUP_GATED, items * Math.ceil(hidden / forHidden), [...first.words, ...gated, ...chosen]);
  const between = round(engine, second, inner, slots, rounded, scratch);
  const results = [
    between,
    second.rowBytes,
    groups.order,
    width,
    hidden,
    waiting,
    width * 4,
    forWidth,
    scratch,
    downBytes,
  ];
  engine.launch(PACKED_GROUP_LINEAR, items * Math.ceil(width / forWidth), [...second.words, ...results, ...chosen]);
  combine(engine, waiting, weights, y, rows, k, width, experts, numExperts);
}

/** Columns of an item's product that one tile takes: whole panels. */
function acrossOf(columns: number, weight: Weight, slots: number, numExperts: number): number {
  const wanted = columnsPerTile(columns, weight.width * weight.effort, slots, numExperts, PANEL_ROWS);
  return Math.min(wanted, MOST_COLUMNS);
}
