// The formats of GGUF against the gguf package and ggml (blocks.json): what is read bit for bit, what is written bit for bit where the package
// writes the type, else as near to the numbers as ggml's own quantizer.
import { describe, expect, test } from "vitest";
import { joinRows, schemeOf, splitRows, type BlockDType } from "../../src/io/stored-blocks.js";
import { decode } from "../../src/quant/schemes/scheme.js";
import { bytesOf, floatsOf, golden } from "../golden/block-fixture.js";

const WIDTH = 256;
const given = floatsOf(golden.given);
const edges = floatsOf(golden.edges);
const SHAPE = [given.length / WIDTH, WIDTH];
/** Bits, so that zeros of both signs differ. */
const bitsOf = (x: Float32Array<ArrayBuffer>): Uint32Array => new Uint32Array(x.buffer);
const squares = (x: Float32Array, y: Float32Array): number => x.reduce((sum, a, i) => sum + (a - y[i]) ** 2, 0);

describe.each(Object.keys(golden.types) as BlockDType[])("%s", (dtype) => {
  const written = golden.types[dtype];
  const scheme = schemeOf(dtype);

  test("blocks are read as the gguf package reads them, with every code and odd scales too", () => {
    for (const [bytes, read] of [
      [written.bytes, written.read],
      [written.drawn, written.drawnRead],
    ]) {
      const numbers = floatsOf(read);
      const parts = splitRows(dtype, bytesOf(bytes), WIDTH);
      expect(bitsOf(decode(scheme, parts, [numbers.length / WIDTH, WIDTH]))).toEqual(bitsOf(numbers));
    }
  });

  test("and put together again to the same bytes", () => {
    for (const bytes of [bytesOf(written.bytes), bytesOf(written.drawn)]) {
      expect(joinRows(dtype, splitRows(dtype, bytes, WIDTH), WIDTH)).toEqual(bytes);
    }
  });

  const { edges: writtenEdges } = written;
  if (writtenEdges !== undefined) {
    test("numbers are written as the gguf package writes them", () => {
      expect(joinRows(dtype, scheme.encode(given, SHAPE), WIDTH)).toEqual(bytesOf(written.bytes));
      expect(joinRows(dtype, scheme.encode(edges, [8, 32]), 32)).toEqual(bytesOf(writtenEdges));
    });
  } else {
    test("numbers are written at most 1.05 times as far off as by ggml, in squares", () => {
      const [own, reference] = [decode(scheme, scheme.encode(given, SHAPE), SHAPE), floatsOf(written.read)];
      for (let row = 0; row < SHAPE[0]; row++) {
        const [from, to] = [row * WIDTH, (row + 1) * WIDTH];
        const [x, y, z] = [given, own, reference].map((numbers) => numbers.subarray(from, to));
        expect(squares(x, y)).toBeLessThanOrEqual(1.05 * squares(x, z));
      }
    });
  }
});
