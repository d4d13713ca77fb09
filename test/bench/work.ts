// What a kernel call has to do at least: arithmetic and bytes, from the shapes of its operands and the indices' number alone.
import type { AttentionAttrs, Command, Matrix, OpName, OpTable, Operand, Shape, View } from "qwen-blocks";

export interface Work {
  /** Of products only, a multiplication and an addition being two; 0 for ops that have none. */
  readonly flops: number;
  /** Read and written, each operand once; of a table only the rows that indices ask for. */
  readonly bytes: number;
}

type Rule<K extends OpName> = (
  inputs: OpTable[K]["inputs"],
  outputs: OpTable[K]["outputs"],
  attrs: OpTable[K]["attrs"],
) => number;
type Rules = { readonly [K in OpName]?: Rule<K> };

const flops: Rules = {
  matmul: ([a], [y], { transposeA }) => 2 * sizeOf(y.shape) * extent(a, transposeA ? -2 : -1),
  linear: ([x], [y]) => 2 * sizeOf(y.shape) * extent(x, -1),
  linearGrad: ([x, , dy], [dx, dWeight]) => 2 * sizeOf(dy.shape) * extent(x, -1) * given(dx, dWeight),
  expertLinear: ([, weight, experts]) => 2 * sizeOf(experts.shape) * perExpert(weight),
  expertLinearGrad: ([, weight, experts], [dx, dWeight]) =>
    2 * sizeOf(experts.shape) * perExpert(weight) * given(dx, dWeight),
  expertMlp: ([, gateUp, down, experts]) => 2 * sizeOf(experts.shape) * (perExpert(gateUp) + perExpert(down)),
  attention: ([q, , , queries, keys], _, attrs) => 2 * headProduct(q, queries, keys, attrs) * 2,
  // Scores again, dP where q or k need it, and one product for each gradient.
  attentionGrad: ([q, , , queries, keys], [dq, dk, dv], attrs) =>
    2 * headProduct(q, queries, keys, attrs) * (1 + (given(dq, dk) > 0 ? 1 : 0) + given(dq, dk, dv)),
};

const bytes: Rules = {
  slice: (_, [y]) => 2 * bytesOf(y),
  writeSlice: ([x]) => 2 * bytesOf(x),
  gatherRows: ([table, rows], [y]) => rowBytes(table, sizeOf(rows.shape)) + bytesOf(rows) + bytesOf(y),
  scatterRows: ([x, rows], _, { mode }) => bytesOf(x) * (mode === "add" ? 3 : 2) + bytesOf(rows),
  rope: ([x, table, rows], [y]) => bytesOf(x) + rowBytes(table, sizeOf(rows.shape)) + bytesOf(rows) + bytesOf(y),
  qkNormRope: ([qkv, qWeight, kWeight, table, rows], outputs) =>
    sum([qkv, qWeight, kWeight, rows, ...outputs]) + rowBytes(table, sizeOf(rows.shape)),
  appendKV: ([k, v, slots], [kPool, vPool]) =>
    sum([k, v, slots]) + rowBytes(kPool, sizeOf(slots.shape)) + rowBytes(vPool, sizeOf(slots.shape)),
  attention: ([q, k, v, queries, keys], [y], attrs) =>
    sum([q, queries, keys, y]) + keysAndValues(k, v, queries, keys, attrs),
  attentionGrad: ([q, k, v, queries, keys, y, dy], outputs, attrs) =>
    sum([q, queries, keys, y, dy, ...outputs]) + keysAndValues(k, v, queries, keys, attrs),
  expertLinear: ([x, weight, experts], [y]) => sum([x, experts, y]) + rowBytes(weight, sizeOf(experts.shape)),
  expertLinearGrad: ([x, weight, experts, dy], [dx, dWeight]) =>
    sum([x, experts, dy, dx, dWeight]) + (dx ? rowBytes(weight, sizeOf(experts.shape)) : 0),
  expertMlp: ([x, gateUp, down, experts, weights], [y]) =>
    sum([x, experts, weights, y]) + rowBytes(gateUp, sizeOf(experts.shape)) + rowBytes(down, sizeOf(experts.shape)),
  linearGrad: ([x, weight, dy], [dx, dWeight, dBias]) =>
    sum([dy, dx, dWeight, dBias]) + (dx ? bytesOf(weight) : 0) + (dWeight ? bytesOf(x) : 0),
  adamW: ([grad, hyper], state) => sum([grad, hyper]) + 2 * sum(state),
};

export function workOf({ op, inputs, outputs, attrs }: Command): Work {
  return {
    flops: apply(flops, op, inputs, outputs, attrs) ?? 0,
    bytes: apply(bytes, op, inputs, outputs, attrs) ?? sum(inputs) + sum(outputs),
  };
}

function apply(rules: Rules, op: OpName, ...call: [unknown, unknown, unknown]): number | undefined {
  const rule = rules[op] as ((...call: [unknown, unknown, unknown]) => number) | undefined;
  return rule?.(...call);
}

function sizeOf(shape: Shape): number {
  return shape.reduce((size, n) => size * n, 1);
}

/** Of an axis counted from the end. */
function extent({ shape }: Matrix, axis: number): number {
  return shape[shape.length + axis] ?? 1;
}

/** Elements of one expert's matrix. */
function perExpert({ shape }: Matrix): number {
  return sizeOf(shape.slice(1));
}

function given(...operands: readonly Operand[]): number {
  return operands.filter((operand) => operand !== undefined).length;
}

/** Every element type has four bytes. */
function bytesOf(operand: Operand): number {
  if (operand === undefined) return 0;
  return "scheme" in operand ? sum(operand.parts) : 4 * sizeOf(operand.shape);
}

function sum(operands: readonly Operand[]): number {
  return operands.reduce((total, operand) => total + bytesOf(operand), 0);
}

/** Of as many rows of a table (along its first axis) as there are indices, each row at most once. */
function rowBytes(table: Matrix, indices: number): number {
  const [rows] = table.shape;
  return rows === 0 ? 0 : (bytesOf(table) * Math.min(indices, rows)) / rows;
}

/** Multiplications of one product over all (query, key) pairs and heads. */
function headProduct(q: View, queries: View, keys: View, attrs: AttentionAttrs): number {
  return visiblePairs(queries.shape, keys.shape, attrs) * extent(q, -2) * extent(q, -1);
}

/**
 * At most so many pairs are visible in tables of these shapes, [B, T, 4] and [B, S, 3], if the queries are the last T of S tokens: padding,
 * segments and unused rows of a cache hide more.
 */
export function visiblePairs(queries: Shape, keys: Shape, { causal, window, sinks }: AttentionAttrs): number {
  const [batch, tokens] = queries;
  const [, rows] = keys;
  let pairs = 0;
  for (let t = 0; t < tokens; t++) {
    const reached = causal && rows >= tokens ? rows - tokens + t + 1 : rows;
    const near = window === 0 ? reached : (causal ? window : 2 * window + 1) + sinks;
    pairs += Math.min(reached, near);
  }
  return batch * pairs;
}

/** The rows of the two pools that some query may see. */
function keysAndValues(k: Matrix, v: Matrix, queries: View, keys: View, { window, sinks }: AttentionAttrs): number {
  const [batch, rows] = keys.shape;
  const seen = window === 0 ? rows : Math.min(rows, extent(queries, -2) + 2 * window + sinks);
  return rowBytes(k, batch * seen) + rowBytes(v, batch * seen);
}
