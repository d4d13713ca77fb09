// Writes small ONNX files (protocol buffers; numbers of fields as in onnx.proto).

/** One operator of a graph, in the order in which they run. */
export interface OnnxNode {
  readonly op: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** Whole numbers, except `epsilon` and `scale`. */
  readonly attributes?: Readonly<Record<string, number>>;
  /** "com.microsoft" for what onnxruntime adds. */
  readonly domain?: string;
}

export interface OnnxGraph {
  readonly nodes: readonly OnnxNode[];
  /** f32, by name. */
  readonly inputs: Readonly<Record<string, readonly number[]>>;
  readonly outputs: Readonly<Record<string, readonly number[]>>;
}

const extensions = "com.microsoft";
const floats = new Set(["epsilon", "scale"]);

export function onnxModel({ nodes, inputs, outputs }: OnnxGraph): Uint8Array {
  const operators = nodes.flatMap((node) => field(1, operator(node)));
  const operands = (number: number, shapes: OnnxGraph["inputs"]): number[] =>
    Object.entries(shapes).flatMap(([name, shape]) => field(number, operand(name, shape)));
  const graph = [...operators, ...text(2, "graph"), ...operands(11, inputs), ...operands(12, outputs)];
  const versions = [
    [...text(1, ""), ...integer(2, 17)],
    [...text(1, extensions), ...integer(2, 1)],
  ].flatMap((version) => field(8, version));
  return Uint8Array.from([...integer(1, 8), ...field(7, graph), ...versions]);
}

function operator({ op, inputs, outputs, attributes = {}, domain = "" }: OnnxNode): number[] {
  return [
    ...inputs.flatMap((name) => text(1, name)),
    ...outputs.flatMap((name) => text(2, name)),
    ...text(4, op),
    ...Object.entries(attributes).flatMap(([name, value]) => field(5, attribute(name, value))),
    ...text(7, domain),
  ];
}

function attribute(name: string, value: number): number[] {
  const float = [...new Uint8Array(Float32Array.of(value).buffer)];
  const [type, held] = floats.has(name) ? [1, [...varint(2 * 8 + 5), ...float]] : [2, integer(3, value)];
  return [...text(1, name), ...held, ...integer(20, type)];
}

/** A name, the element type float, and a shape. */
function operand(name: string, shape: readonly number[]): number[] {
  const extents = shape.flatMap((extent) => field(1, integer(1, extent)));
  return [...text(1, name), ...field(2, field(1, [...integer(1, 1), ...field(2, extents)]))];
}

function field(number: number, bytes: readonly number[]): number[] {
  return [...varint(number * 8 + 2), ...varint(bytes.length), ...bytes];
}

function text(number: number, value: string): number[] {
  return field(number, [...new TextEncoder().encode(value)]);
}

function integer(number: number, value: number): number[] {
  return [...varint(number * 8), ...varint(value)];
}

/** Seven bits a byte, the lowest first; the eighth says that more follow. Negative numbers take all 64 bits. */
function varint(value: number | bigint): number[] {
  let rest = BigInt.asUintN(64, BigInt(value));
  const bytes: number[] = [];
  for (; rest >= 128n; rest >>= 7n) bytes.push(Number(rest % 128n) + 128);
  return [...bytes, Number(rest)];
}
