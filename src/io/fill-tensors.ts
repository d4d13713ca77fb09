// Streams the numbers of a checkpoint into tensors: file by file from front to back, in reads that are neither tiny nor large.
import type { Shape } from "../core/shape.js";
import type { Parameter } from "../layers/layer.js";
import { PackedTensor } from "../tensor/packed-tensor.js";
import type { CheckpointTensor } from "./checkpoint.js";
import { quote } from "./json-text.js";
import { readExactly, type Source } from "./source.js";
import { splitRows, type PackableDType } from "./stored-blocks.js";
import { decodeElements, unitOf } from "./stored-elements.js";

/** One checkpoint tensor on its way into the elements of a parameter from `start` on. */
export interface Fill {
  /** Plain, or packed by the scheme of the entry's type; then the entry holds whole rows of it. */
  readonly parameter: Parameter;
  readonly start: number;
  readonly entry: CheckpointTensor;
  /** The file has the last two axes swapped. */
  readonly swapped: boolean;
}

export interface FillOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (loaded: number, total: number) => void;
}

/** Bytes of one read. Large enough that requests over a network do not count, small beside any model. */
const READ_BYTES = 2 ** 23;
/** Elements decoded in one go: as f32 they take as much as a read. */
const RUN_ELEMENTS = READ_BYTES / 4;

/** A range of a file that is decoded in one go. */
interface Run {
  readonly fill: Fill;
  readonly begin: number;
  readonly end: number;
  readonly start: number;
  /** Shape of a matrix to be transposed. */
  readonly matrix: readonly [rows: number, columns: number] | undefined;
}

/** Reads everything, in the order of the files. @throws FormatError if a file turns out shorter than it said */
export async function fillTensors(fills: readonly Fill[], { signal, onProgress }: FillOptions): Promise<void> {
  const runs = fills.flatMap(runsOf);
  const total = runs.reduce((sum, { begin, end }) => sum + end - begin, 0);
  let loaded = 0;
  for (const group of groupsOf(runs)) {
    signal?.throwIfAborted();
    const [{ begin, fill }, last] = [group[0], group[group.length - 1]];
    const bytes = await readExactly(fill.entry.source, begin, last.end);
    for (const run of group) write(run, bytes.subarray(run.begin - begin, run.end - begin));
    loaded += bytes.byteLength;
    onProgress?.(loaded, total);
  }
  signal?.throwIfAborted();
}

function write({ fill: { entry, parameter }, start, matrix }: Run, bytes: Uint8Array): void {
  if (parameter instanceof PackedTensor) {
    const width = widthOf(parameter.shape);
    const words = splitRows(entry.dtype as PackableDType, bytes, width);
    parameter.parts.forEach((part, i) => part.write(words[i], (start / width) * part.shape[1]));
    return;
  }
  const data = decodeElements(`${entry.source.name}: tensor ${quote(entry.name)}`, entry.dtype, bytes);
  parameter.write(matrix === undefined ? data : transpose(data as Float32Array<ArrayBuffer>, matrix), start);
}

function transpose(data: Float32Array, [rows, columns]: readonly [number, number]): Float32Array<ArrayBuffer> {
  const out = new Float32Array(data.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) out[column * rows + row] = data[row * columns + column];
  }
  return out;
}

/** Cuts a large tensor into runs of whole blocks; a packed one at its rows, a swapped one at its matrices, each of which turns as a whole. */
function runsOf(fill: Fill): Run[] {
  const { entry, parameter, start, swapped } = fill;
  const unit = unitOf(entry.dtype);
  const matrix = swapped ? matrixOf(entry.shape) : undefined;
  const packed = parameter instanceof PackedTensor;
  const atom = matrix ? matrix[0] * matrix[1] : packed ? widthOf(parameter.shape) : unit.elements;
  const step = matrix ? atom : Math.max(Math.floor(RUN_ELEMENTS / atom), 1) * atom; // elements
  const stepBytes = (step / unit.elements) * unit.bytes;
  const runs: Run[] = [];
  for (let begin = entry.begin, at = start; begin < entry.end; begin += stepBytes, at += step) {
    runs.push({ fill, begin, end: Math.min(begin + stepBytes, entry.end), start: at, matrix });
  }
  return runs;
}

function matrixOf(shape: Shape): readonly [rows: number, columns: number] {
  return [shape[shape.length - 2], widthOf(shape)];
}

function widthOf(shape: Shape): number {
  return shape[shape.length - 1];
}

/** Runs that lie one behind the other are read together, up to READ_BYTES. */
function groupsOf(runs: readonly Run[]): Run[][] {
  const files = new Map<Source, Run[]>();
  for (const run of runs) {
    const own = files.get(run.fill.entry.source);
    if (own === undefined) files.set(run.fill.entry.source, [run]);
    else own.push(run);
  }
  const groups: Run[][] = [];
  for (const own of files.values()) {
    own.sort((a, b) => a.begin - b.begin);
    let group: Run[] = [];
    for (const run of own) {
      const last = group.at(-1);
      if (last === undefined || last.end !== run.begin || run.end - group[0].begin > READ_BYTES) {
        group = [];
        groups.push(group);
      }
      group.push(run);
    }
  }
  return groups;
}
