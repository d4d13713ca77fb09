// The file format against hand-made bytes: reading, writing, and files made to do harm.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FormatError } from "../../src/core/errors.js";
import { MAX_HEADER_BYTES, openSafetensors, readElements } from "../../src/io/safetensors.js";
import { encodeSafetensors, type StoredTensor } from "../../src/io/safetensors-writer.js";
import type { Source } from "../../src/io/source.js";
import { bytesOf, rawFile } from "./file-building.js";

async function readAll(file: Uint8Array | Source): Promise<Record<string, number[]>> {
  const { source, tensors } = await openSafetensors(file, "a.safetensors");
  const read: Record<string, number[]> = {};
  for (const entry of tensors.values()) read[entry.name] = [...(await readElements(source, entry))];
  return read;
}

const f32 = (shape: readonly number[], begin: number, end: number): object => ({
  dtype: "F32",
  shape,
  data_offsets: [begin, end],
});

describe("reading", () => {
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
});

describe("hostile files", () => {
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
});

describe("writing", () => {
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
});
