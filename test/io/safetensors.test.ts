// Reading the file format against hand-made bytes.
import { expect, test } from "vitest";
import { openSafetensors, readElements } from "../../src/io/safetensors.js";
import { bytesOf, f32, rawFile } from "./file-building.js";
import { readAll } from "./read-all.js";

test("every type that can be read", async () => {
  const header = {
    a: { dtype: "F64", shape: [2], data_offsets: [0, 16] },
    b: { dtype: "F32", shape: [1, 2], data_offsets: [16, 24] },
    c: { dtype: "I64", shape: [2], data_offsets: [24, 40] },
    d: { dtype: "I32", shape: [], data_offsets: [40, 44] },
    e: { dtype: "U32", shape: [1], data_offsets: [44, 48] },
    f: { dtype: "F16", shape: [3], data_offsets: [48, 54] },
    g: { dtype: "BF16", shape: [3], data_offsets: [54, 60] },
  };
  const data = [
    new Float64Array([0.1, -2]),
    new Float32Array([1.5, -0]),
    new BigInt64Array([-5n, 2147483647n]),
    new Int32Array([-7]),
    new Uint32Array([2147483647]),
    new Uint16Array([0x3c00, 0x0001, 0xfc00]),
    new Uint16Array([0x3f80, 0xc000, 0x7f80]),
  ].flatMap((array) => [...bytesOf(array)]);
  expect(await readAll(rawFile(header, Uint8Array.from(data)))).toEqual({
    a: [Math.fround(0.1), -2],
    b: [1.5, -0],
    c: [-5, 2147483647],
    d: [-7],
    e: [2147483647],
    f: [1, 2 ** -24, -Infinity],
    g: [1, -2, Infinity],
  });
});

test("bits of NaN and infinities survive in f32 and bf16", async () => {
  const words = new Uint32Array([0x7fc12345, 0xff800001, 0x7f800000]);
  const header = {
    a: f32([3], 0, 12),
    b: { dtype: "BF16", shape: [2], data_offsets: [12, 16] },
  };
  const file = rawFile(header, Uint8Array.from([...bytesOf(words), 0xc1, 0x7f, 0x01, 0xff]));
  const { source, tensors } = await openSafetensors(file);
  const bits = async (name: string): Promise<number[]> => [
    ...new Uint32Array((await readElements(source, tensors.get(name)!)).buffer),
  ];
  expect(await bits("a")).toEqual([...words]);
  expect(await bits("b")).toEqual([0x7fc10000, 0xff010000]);
});

test("tensors that begin at odd places, in headers of odd length", async () => {
  for (const space of ["", " ", "  ", "   "]) {
    const header = `{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":${JSON.stringify(f32([1], 1, 5))}}${space}`;
    const file = rawFile(header, Uint8Array.from([9, ...bytesOf(new Float32Array([0.25]))]));
    const { source, tensors } = await openSafetensors(file);
    expect([...(await readElements(source, tensors.get("b")!))]).toEqual([0.25]);
  }
});

test("a window of a larger buffer, and a Buffer of Node", async () => {
  const file = rawFile({ a: f32([1], 0, 4) }, bytesOf(new Float32Array([3])));
  const large = new Uint8Array(file.length + 7);
  large.set(file, 3);
  expect(await readAll(large.subarray(3, 3 + file.length))).toEqual({ a: [3] });
  const buffer = Buffer.from(file);
  const { source, tensors } = await openSafetensors(buffer);
  const read = await readElements(source, tensors.get("a")!);
  read[0] = 8;
  expect([...(await readElements(source, tensors.get("a")!))]).toEqual([3]);
});

test("a Blob", async () => {
  const file = new Blob([rawFile({ a: f32([1], 0, 4) }, bytesOf(new Float32Array([3])))]);
  const { source, tensors } = await openSafetensors(file);
  expect([...(await readElements(source, tensors.get("a")!))]).toEqual([3]);
});

test("empty tensors, scalars, no tensors", async () => {
  const file = rawFile({ b: f32([0, 5], 4, 4), a: f32([], 0, 4), c: f32([2, 0], 0, 0) }, 4);
  expect(await readAll(file)).toEqual({ a: [0], b: [], c: [] });
  expect(await readAll(rawFile({}))).toEqual({});
});

test("names that objects treat specially, and metadata", async () => {
  const header = `{"__metadata__":{"__proto__":"x","k":"v"},"__proto__":${JSON.stringify(f32([1], 0, 4))},"constructor":${JSON.stringify(f32([1], 4, 8))}}`;
  const { tensors, metadata } = await openSafetensors(rawFile(header, 8));
  expect([...tensors.keys()]).toEqual(["__proto__", "constructor"]);
  expect([...metadata]).toEqual([
    ["__proto__", "x"],
    ["k", "v"],
  ]);
  expect(tensors.get("__proto__")).toMatchObject({ name: "__proto__", shape: [1] });
});

test.each([
  ["U32", new Uint32Array([1, 2147483648]), "element 1 must fit into i32, got 2147483648"],
  ["I64", new BigInt64Array([-2147483649n]), "element 0 must fit into i32, got -2147483649"],
  ["I64", new BigInt64Array([0n, 2147483648n]), "element 1 must fit into i32, got 2147483648"],
  ["U8", new Uint8Array([1]), 'tensor "x": must hold F64, F32, F16, BF16, I64, I32 or U32 to be read, got U8'],
])("%s that no typed array here holds", async (dtype, array: ArrayBufferView & { length: number }, message) => {
  const file = rawFile({ x: { dtype, shape: [array.length], data_offsets: [0, array.byteLength] } }, bytesOf(array));
  await expect(readAll(file)).rejects.toThrow(message);
  await expect(readAll(file)).rejects.toMatchObject({ code: "FORMAT" });
});
