// Writing the file format: the bytes of the reference implementation, and what is written is read back.
import fc from "fast-check";
import { expect, test } from "vitest";
import { FormatError } from "../../src/core/errors.js";
import { openSafetensors } from "../../src/io/safetensors.js";
import { encodeSafetensors, type StoredTensor } from "../../src/io/safetensors-writer.js";
import { bytesOf, rawFile } from "./file-building.js";

const stored = (array: Float32Array, shape: number[]): StoredTensor => ({
  dtype: "F32",
  shape,
  bytes: bytesOf(array),
});

test("golden bytes", () => {
  const file = encodeSafetensors(
    new Map<string, StoredTensor>([
      ["b", stored(new Float32Array([1, 2]), [2])],
      ["h", { dtype: "BF16", shape: [1], bytes: Uint8Array.of(0x80, 0x3f) }],
      ["a", stored(new Float32Array([3]), [1, 1])],
    ]),
    { format: "pt" },
  );
  // As the reference implementation writes it.
  const header =
    '{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]},' +
    '"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]},"h":{"dtype":"BF16","shape":[1],"data_offsets":[12,14]}}';
  const padded = header.padEnd(Math.ceil(header.length / 8) * 8);
  const data = Uint8Array.from([...bytesOf(new Float32Array([3, 1, 2])), 0x80, 0x3f]);
  expect(file).toEqual(rawFile(padded, data));
  expect(file.length).toBe(8 + padded.length + 14);
});

test("no tensors, no metadata", () => {
  expect(encodeSafetensors(new Map())).toEqual(rawFile("{}      "));
});

test("what is written is read back, in any order of insertion the same bytes", async () => {
  const anyName = fc.oneof(fc.string(), fc.constantFrom("__proto__", "1", "0", "constructor", '"', "é", "\u0000"));
  const anyTensor = fc.record({
    shape: fc.array(fc.nat(3), { maxLength: 3 }),
    dtype: fc.constantFrom("F32" as const, "I32" as const),
    fill: fc.integer({ min: -(2 ** 20), max: 2 ** 20 }),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(fc.tuple(anyName, anyTensor), { selector: ([name]) => name, maxLength: 6 }),
      fc.dictionary(fc.string(), fc.string(), { noNullPrototype: true }),
      async (drawn, metadata) => {
        const tensors = drawn
          .filter(([name]) => name !== "__metadata__")
          .map(([name, { shape, dtype, fill }]): [string, StoredTensor] => {
            const size = shape.reduce((a, b) => a * b, 1);
            const array = dtype === "F32" ? new Float32Array(size).fill(fill) : new Int32Array(size).fill(fill);
            return [name, { dtype, shape, bytes: bytesOf(array) }];
          });
        const file = encodeSafetensors(new Map(tensors), metadata);
        expect(encodeSafetensors(new Map([...tensors].reverse()), metadata)).toEqual(file);
        const opened = await openSafetensors(file);
        expect(Object.fromEntries(opened.metadata)).toEqual(metadata);
        expect([...opened.tensors.keys()].sort()).toEqual(tensors.map(([name]) => name).sort());
        for (const [name, { dtype, shape, bytes }] of tensors) {
          const entry = opened.tensors.get(name)!;
          expect(entry).toMatchObject({ dtype, shape });
          expect(entry.begin % 4).toBe(0);
          expect(await opened.source.read(entry.begin, entry.end)).toEqual(bytes);
        }
      },
    ),
  );
});

test.each<[string, [string, StoredTensor][], string]>([
  ["too few bytes", [["x", { dtype: "F32", shape: [2], bytes: new Uint8Array(4) }]], "must have 8 bytes, got 4"],
  ["a reserved name", [["__metadata__", stored(new Float32Array(1), [1])]], "must be unique and not __metadata__"],
  ["a bad shape", [["x", { dtype: "F32", shape: [-1], bytes: new Uint8Array(4) }]], "non-negative integers"],
])("refuses %s", (_, tensors, message) => {
  expect(() => encodeSafetensors(new Map(tensors))).toThrow(message);
  expect(() => encodeSafetensors(new Map(tensors))).toThrow(FormatError);
});
