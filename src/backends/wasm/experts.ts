// Slots and their experts: how the kernels of experts cut their work, and the launches that they share.
import { COMBINE, GROUP } from "./codes.js";
import { perTile, type Engine } from "./engine.js";
import { ITEM_BYTES } from "./layout.js";

/** Up to so many slots, grouping them gains nothing: most have an expert of their own. */
export const FEW_SLOTS = 16;

/** Slots of one expert that a tile takes at most. */
export const ITEM_SLOTS = 64;

/** Slots in the order of their expert, in scratch memory: addresses. What lies there: assembly/group.ts. */
export interface Groups {
  readonly ends: number;
  readonly order: number;
  readonly sources: number;
  readonly items: number;
}

/** How many items there can be: for each expert with a slot, and for the empty slots, one that is not full. */
export function maxItems(slots: number, numExperts: number): number {
  return Math.min(slots, numExperts + 1) + Math.floor(slots / ITEM_SLOTS);
}

/** Scratch memory for {@link groupSlots}. */
export function groupBytes(slots: number, numExperts: number): number {
  return 4 * (numExperts + 1 + 2 * slots + 1) + ITEM_BYTES * maxItems(slots, numExperts);
}

/** `experts`: the address of `slots` numbers; `perRow`: slots that share a row of the input. */
export function groupSlots(
  engine: Engine,
  scratch: number,
  experts: number,
  slots: number,
  numExperts: number,
  perRow: number,
): Groups {
  const ends = scratch;
  const order = ends + (numExperts + 1) * 4;
  const sources = order + slots * 4;
  const items = sources + slots * 4;
  engine.launch(GROUP, 1, [experts, slots, numExperts, perRow, ends, order, sources, items, ITEM_SLOTS]);
  return { ends, order, sources, items };
}

/**
 * Columns of an item's product that one tile takes: a multiple of `unit`, so that tiles are neither tiny nor too few for several threads.
 * `operations`: for one column of one slot.
 */
export function columnsPerTile(
  columns: number,
  operations: number,
  slots: number,
  numExperts: number,
  unit: number,
): number {
  const usual = Math.max(1, Math.min(ITEM_SLOTS, Math.ceil(slots / Math.max(1, numExperts))));
  const fair = Math.ceil((slots * columns) / (usual * ENOUGH_TILES));
  const wanted = Math.max(perTile(columns, operations * usual), fair);
  return Math.ceil(Math.min(wanted, MAX_COLUMNS) / unit) * unit;
}
const ENOUGH_TILES = 128;
const MAX_COLUMNS = 256;

/** How many rows are taken at a time where results wait for their sum in slot order, `numbers` of them for a row. */
export function rowsAtOnce(rows: number, numbers: number): number {
  return Math.max(1, Math.min(rows, Math.floor(MAX_WAITING / Math.max(1, numbers))));
}
const MAX_WAITING = 2 ** 24;

/** Columns that one tile takes of the product of a single slot: each weight is read once, and reading it costs more than the product. */
export function columnsOfSlot(columns: number, k: number): number {
  return Math.ceil(perTile(columns, READ_OPERATIONS * k) / 4) * 4;
}
const READ_OPERATIONS = 4;

/** y[rows, width] = sums over the slots of x[rows, slots, width], times `factors` unless that is 0; `experts`, unless 0, says which are empty. */
export function combine(
  engine: Engine,
  x: number,
  factors: number,
  y: number,
  rows: number,
  slots: number,
  width: number,
  experts = 0,
  numExperts = 0,
): void {
  const each = perTile(rows, Math.max(1, slots) * width);
  engine.launch(COMBINE, Math.ceil(rows / each), [x, factors, y, rows, slots, width, each, experts, numExperts]);
}
