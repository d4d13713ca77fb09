// Files made to do harm are refused by name, at once, and before much is read.
import fc from "fast-check";
import { expect, test } from "vitest";
import { FormatError } from "../../src/core/errors.js";
import { MAX_HEADER_BYTES, openSafetensors } from "../../src/io/safetensors.js";
import type { Source } from "../../src/io/source.js";
import { f32, rawFile } from "./file-building.js";
import { readAll } from "./read-all.js";

const lengthOnly = (length: bigint, rest = 0): Uint8Array => {
  const file = new Uint8Array(8 + rest);
  new DataView(file.buffer).setBigUint64(0, length, true);
  return file;
};
const one = (fields: object): Uint8Array => rawFile({ x: { ...f32([1], 0, 4), ...fields } }, 4);
test.each<[string, Uint8Array, string]>([
  ["empty", new Uint8Array(0), "must begin with 8 bytes of header length, got 0 bytes"],
  ["7 bytes", new Uint8Array(7), "got 7 bytes"],
  ["header length 0", lengthOnly(0n), "header must be a JSON object that begins with {"],
  ["header beyond the file", lengthOnly(100n, 50), "header length must fit into the file of 58 bytes, got 100"],
  ["header above 100 MB", lengthOnly(100_000_001n, 50), "at most 100000000 bytes, got 100000001"],
  ["header above 2^53", lengthOnly(2n ** 53n + 1n, 50), "at most 100000000 bytes, got 9007199254740993"],
  ["header of 2^64 - 1", lengthOnly(2n ** 64n - 1n, 50), "got 18446744073709551615"],
  ["no JSON", rawFile("{nonsense"), "header: must be JSON"],
  ["not UTF-8", rawFile("{}").fill(0xff, 8), "header: must be UTF-8"],
  ["a byte order mark", rawFile("\ufeff{}"), "begins with {"],
  ["a list", rawFile("[]"), "begins with {"],
  ["a space first", rawFile(" {}"), "begins with {"],
  ["two values", rawFile("{}{}"), "header: must be JSON"],
  ["deep nesting", rawFile(`{"a":${"[".repeat(100_000)}`), "header: must nest at most 3 levels deep"],
  ["no object for a tensor", rawFile({ x: 3 }), 'tensor "x": must be an object, got 3'],
  ["null for a tensor", rawFile({ x: null }), 'tensor "x": must be an object, got null'],
  ["metadata no object", rawFile({ __metadata__: ["a"] }), '__metadata__ must be an object, got ["a"]'],
  ["metadata no string", rawFile({ __metadata__: { a: 1 } }), '__metadata__ "a" must be a string, got 1'],
  ["no dtype", one({ dtype: undefined }), 'tensor "x": dtype must be one of the format\'s'],
  ["unknown dtype", one({ dtype: "F33" }), 'got "F33"'],
  ["dtype of the prototype", one({ dtype: "constructor" }), 'got "constructor"'],
  ["no shape", one({ shape: undefined }), 'tensor "x": shape must be a list of non-negative integers, got nothing'],
  ["fractional extent", one({ shape: [0.5, 2] }), "shape must be a list of non-negative integers, got [0.5,2]"],
  ["negative extents", one({ shape: [-1, -1] }), "got [-1,-1]"],
  ["text extent", one({ shape: ["1"] }), 'got ["1"]'],
  ["unsafe extent", rawFile('{"x":{"dtype":"U8","shape":[9007199254740993],"data_offsets":[0,4]}}', 4), "integers"],
  ["infinite extent", rawFile('{"x":{"dtype":"U8","shape":[1e999],"data_offsets":[0,4]}}', 4), "integers"],
  ["no offsets", one({ data_offsets: undefined }), "data_offsets must be [begin, end]"],
  ["one offset", one({ data_offsets: [0] }), "data_offsets must be [begin, end]"],
  ["three offsets", one({ data_offsets: [0, 4, 4] }), "data_offsets must be [begin, end]"],
  ["negative offset", one({ data_offsets: [-4, 0] }), "data_offsets must be [begin, end]"],
  ["reversed offsets", one({ data_offsets: [4, 0] }), "data_offsets must be [begin, end]"],
  ["fractional offset", one({ data_offsets: [0.5, 4] }), "data_offsets must be [begin, end]"],
  ["out of bounds", one({ data_offsets: [0, 8] }), "must lie within the 4 bytes behind the header, got [0,8]"],
  ["too many bytes", one({ shape: [], data_offsets: [0, 3] }), "must cover the 4 bytes of F32 [], got [0,3]"],
  ["shape overflows 2^53", one({ shape: [2 ** 30, 2 ** 30] }), "more bytes than any file has"],
  ["shape overflows 2^64 to 4", one({ shape: [2 ** 31, 2 ** 31, 4, 1] }), "more bytes than any file has"],
  ["overflow hidden by 0", one({ shape: [2 ** 52, 2 ** 52, 0] }), "more bytes than any file has"],
  ["half bytes", rawFile({ x: { dtype: "F4", shape: [3], data_offsets: [0, 2] } }, 2), "of F4 [3]"],
  ["overlap", rawFile({ x: f32([2], 0, 8), y: f32([1], 4, 8) }, 8), 'tensor "y": data_offsets must not overlap'],
  ["the same twice", rawFile({ x: f32([1], 0, 4), y: f32([1], 0, 4) }, 4), "must not overlap"],
  ["gap", rawFile({ x: f32([1], 0, 4), y: f32([1], 8, 12) }, 12), 'tensor "y": data_offsets must not leave a gap'],
  ["gap at the start", rawFile({ x: f32([1], 4, 8) }, 8), "must not leave a gap"],
  ["bytes behind", rawFile({ x: f32([1], 0, 4) }, 9), "the last tensor must end with the file"],
  ["bytes and no tensor", rawFile({}, 1), "got 1 bytes behind it"],
])("%s", async (_, file, message) => {
  const open = openSafetensors(file, "evil.safetensors");
  await expect(open).rejects.toThrow(message);
  await expect(open).rejects.toThrow(/^evil\.safetensors: /);
  await expect(open).rejects.toBeInstanceOf(FormatError);
});

test.each([
  ["plain", `{"x":${JSON.stringify(f32([1], 0, 4))},"x":${JSON.stringify(f32([1], 0, 4))}}`, "x"],
  ["escaped", `{"x":${JSON.stringify(f32([1], 0, 4))} , "\\u0078" : ${JSON.stringify(f32([1], 0, 4))}}`, "x"],
  ["field", '{"x":{"dtype":"F64","dtype":"F32","shape":[1],"data_offsets":[0,4]}}', "dtype"],
  ["metadata", '{"__metadata__":{"a":"1","a":"2"}}', "a"],
  ["with quotes", `{"a\\"b":${JSON.stringify(f32([1], 0, 4))},"a\\u0022b":1}`, 'a\\"b'],
])("duplicate names, which JSON.parse hides: %s", async (_, header, name) => {
  await expect(openSafetensors(rawFile(header, 4))).rejects.toThrow(`header: must not name "${name}" twice`);
});

test("names that only look alike are no duplicates", async () => {
  const header = {
    __metadata__: { x: '"x":', y: "\\" },
    x: f32([1], 0, 4),
    '"x"': f32([1], 4, 8),
    "x\\": f32([1], 8, 12),
  };
  expect((await openSafetensors(rawFile(header, 12))).tensors.size).toBe(3);
});

test("cut anywhere", async () => {
  const file = rawFile({ x: f32([2], 0, 8), y: f32([1], 8, 12) }, 12);
  for (let length = 0; length < file.length; length++) {
    await expect(openSafetensors(file.subarray(0, length)), `${length} bytes`).rejects.toBeInstanceOf(FormatError);
  }
  await openSafetensors(file);
});

test("sources that lie about their length", async () => {
  const file = rawFile({ x: f32([2], 0, 8) }, 8);
  const short: Source = {
    name: "s",
    byteLength: file.length,
    read: async (a, b) => file.subarray(a, Math.max(a, b - 1)),
  };
  await expect(openSafetensors(short)).rejects.toThrow("s: reading bytes 0 to 8 must give 8 bytes, got 7");
  await expect(openSafetensors({ ...short, byteLength: NaN })).rejects.toBeInstanceOf(FormatError);
});

test("a large claim reads nothing large", async () => {
  const asked: number[] = [];
  const file = rawFile({ x: f32([2 ** 40], 0, 2 ** 42) }, 8);
  const source: Source = {
    name: "s",
    byteLength: file.length,
    read: async (begin, end) => (asked.push(end - begin), file.subarray(begin, end)),
  };
  await expect(openSafetensors(source)).rejects.toBeInstanceOf(FormatError);
  expect(Math.max(...asked)).toBeLessThanOrEqual(file.length);
  expect(MAX_HEADER_BYTES).toBe(100_000_000);
});

test("random changes give numbers or a FormatError, at once", async () => {
  const good = rawFile(
    {
      __metadata__: { format: "pt" },
      x: f32([2, 2], 0, 16),
      y: { dtype: "BF16", shape: [4], data_offsets: [16, 24] },
    },
    24,
  );
  const change = fc.record({
    at: fc.oneof(fc.nat(good.length - 1), fc.nat(15)),
    byte: fc.oneof(fc.nat(255), fc.constantFrom(...'0129,:[]{}"\\-.eE '.split("").map((c) => c.charCodeAt(0)))),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(change, { minLength: 1, maxLength: 6 }),
      fc.option(fc.nat(good.length)),
      async (changes, cut) => {
        const file = Uint8Array.from(good);
        for (const { at, byte } of changes) file[at] = byte;
        const began = performance.now();
        const read = await readAll(file.subarray(0, cut ?? file.length)).catch((error: unknown) => error);
        expect(performance.now() - began).toBeLessThan(1000);
        if (read instanceof Error) expect(read).toBeInstanceOf(FormatError);
        else for (const values of Object.values(read as object)) expect((values as number[]).length).toBeLessThan(25);
      },
    ),
    { numRuns: 500 },
  );
});
