// The GGUF header: what the gguf package writes is read to the bit, and every lie about sizes, counts and places is refused by name before
// anything is made of it.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { FormatError } from "../../src/core/errors.js";
import { openGguf } from "../../src/io/gguf.js";
import { readElements } from "../../src/io/safetensors.js";
import { bytesSource, type Source } from "../../src/io/source.js";
import { isPackable, schemeOf, splitRows } from "../../src/io/stored-blocks.js";
import { decode } from "../../src/quant/schemes/scheme.js";
import { bytesOf, floatsOf, golden as blocks } from "../golden/block-fixture.js";
import {
  ggufFile,
  joined,
  str,
  u32,
  u64,
  u8,
  value,
  type BuiltFile,
  type BuiltTensor,
  type TensorType,
} from "./gguf-building.js";

interface Golden {
  readonly file: string;
  readonly tensors: Readonly<
    Record<string, { readonly type: string; readonly shape: number[]; readonly given: string; readonly read: string }>
  >;
}
const golden = JSON.parse(readFileSync(resolve(import.meta.dirname, "gguf-golden.json"), "utf8")) as Golden;
const unpacked = (base64: string): Uint8Array<ArrayBuffer> => Uint8Array.from(Buffer.from(base64, "base64"));
const floats = (base64: string): Float32Array<ArrayBuffer> => new Float32Array(unpacked(base64).buffer);

describe("what the gguf package wrote", () => {
  const file = unpacked(golden.file);

  test("metadata of every type", async () => {
    const { metadata } = await openGguf(file);
    expect(Object.fromEntries(metadata)).toEqual({
      "general.architecture": "qwen3",
      "test.u8": 255,
      "test.i8": -128,
      "test.u16": 65535,
      "test.i16": -32768,
      "test.u32": 4294967295,
      "test.i32": -2147483648,
      "test.f32": Math.fround(0.1),
      "test.bool": true,
      "test.string": "Größe",
      "test.u64": 2 ** 53 - 1,
      "test.i64": -(2 ** 53 - 1),
      "test.f64": 0.1,
      "tokenizer.ggml.tokens": ["<a>", "", "é"],
      "test.ints": Int32Array.of(1, -2, 3),
      "test.floats": Float32Array.of(0.5, -0.25),
      "test.bools": [true, false],
    });
  });

  test.each(Object.entries(golden.tensors))("%s", async (name, { type, shape, read }) => {
    const { source, tensors } = await openGguf(file);
    const entry = tensors.get(name)!;
    expect([entry.dtype, entry.shape]).toEqual([type, shape]);
    expect(await readElements(source, entry)).toEqual(floats(read));
  });

  test.each(Object.entries(golden.tensors).filter(([, { type }]) => isPackable(type)))(
    "%s in parts: the ones that the scheme makes of the same numbers",
    async (name, { shape, given, read }) => {
      const { source, tensors } = await openGguf(file);
      const { dtype, begin, end } = tensors.get(name)!;
      if (!isPackable(dtype)) throw new Error(`${dtype} must be packable`);
      const parts = splitRows(dtype, await source.read(begin, end), shape[1]);
      expect(parts).toEqual(schemeOf(dtype).encode(floats(given), shape));
      expect(decode(schemeOf(dtype), parts, shape)).toEqual(floats(read));
    },
  );
});

test.each(Object.entries(blocks.types))(
  "%s: a tensor in blocks is read as the gguf package reads it",
  async (type, written) => {
    const bytes = bytesOf(written.bytes);
    const file = ggufFile({ tensors: [tensor({ type: type as TensorType, shape: [2, 256], bytes })] });
    const { source, tensors } = await openGguf(file);
    const entry = tensors.get("a")!;
    expect([entry.dtype, entry.end - entry.begin]).toEqual([type, bytes.length]);
    expect(await readElements(source, entry)).toEqual(floatsOf(written.read));
  },
);

test("-128 and scales that are not finite come through as they are", () => {
  const codes = Uint8Array.from({ length: 32 }, (_, i) => (i === 0 ? 0x80 : i === 31 ? 0x7f : 0));
  const [words, scales] = splitRows("Q8_0", joined(Uint8Array.of(0x01, 0x7e), codes), 32);
  expect([...new Int8Array(words.buffer)]).toEqual([-128, ...Array<number>(30).fill(0), 127]);
  expect([...scales]).toEqual([0x7e01]);
});

const tensor = (more: Partial<BuiltTensor> = {}): BuiltTensor => ({
  name: "a",
  type: "F32",
  shape: [2, 3],
  bytes: new Uint8Array(24),
  ...more,
});
const q4Blocks = (shape: readonly number[], bytes: number): BuiltTensor =>
  tensor({ type: "Q4_0", shape, bytes: new Uint8Array(bytes) });

async function refusal(file: Uint8Array | Source): Promise<string> {
  const error = await openGguf(file, "f").then(
    () => new Error("was read"),
    (error: unknown) => error as Error,
  );
  expect(error).toBeInstanceOf(FormatError);
  return error.message;
}

describe("refused by name", () => {
  const word = (bytes: Uint8Array): Uint8Array<ArrayBuffer> => joined(u32(9), bytes);
  const nested = (depth: number): Uint8Array<ArrayBuffer> =>
    joined(u32(9), ...Array.from({ length: depth - 1 }, () => joined(u32(9), u64(1))), u32(0), u64(0));
  // prettier-ignore
  const cases: readonly (readonly [name: string, file: BuiltFile, message: string])[] = [
    ["version 2", { version: 2 }, "must be of version 3, got 2"],
    ["big-endian", { version: 0x03000000 }, "got a big-endian file"],
    ["tensors that are not there", { tensorCount: 2n ** 40n }, "tensor count must lie within the file of 24 bytes"],
    ["a count beyond 2^53", { tensorCount: 2n ** 60n }, "tensor count must be an integer within 2^53, got 1152921504606846976"],
    ["pairs that are not there", { metadataCount: 5 }, "metadata count must lie within the file of 24 bytes, got 65 bytes"],
    ["a key twice", { metadata: { a: joined(value.u32(1), str("a"), value.u32(2)) }, metadataCount: 2 }, 'metadata "a" must not be given twice'],
    ["an unknown type", { metadata: { a: u32(13) } }, 'metadata "a" must have one of the format\'s types, 0 to 12, got 13'],
    ["a long string", { metadata: { a: joined(u32(8), u64(2n ** 40n)) } }, "must be a string of at most 100000000 bytes, got 1099511627776"],
    ["a string past the end", { metadata: { a: joined(u32(8), u64(9)) } }, 'metadata "a" must lie within the file'],
    ["no UTF-8", { metadata: { a: value.string(Uint8Array.of(0xff)) } }, 'metadata "a" must be UTF-8'],
    ["a bool of 2", { metadata: { a: value.bool(2) } }, 'metadata "a" must be 0 or 1 where it is a truth value, got 2'],
    ["u64 beyond 2^53", { metadata: { a: value.u64(2n ** 53n) } }, 'metadata "a" must be an integer within 2^53, got 9007199254740992'],
    ["an array past the end", { metadata: { a: word(joined(u32(4), u64(2n ** 50n))) } }, 'metadata "a" must lie within the file'],
    ["strings past the end", { metadata: { a: word(joined(u32(8), u64(3), str(""))) } }, "got 24 bytes from byte"],
    ["deep arrays", { metadata: { a: nested(5) } }, 'metadata "a" must nest at most 4 arrays'],
    ["a long name", { tensors: [tensor({ name: "a".repeat(65) })] }, "tensor name 0 must be a string of at most 64 bytes, got 65"],
    ["a name twice", { tensors: [tensor(), tensor()] }, 'tensor "a" must not be listed twice'],
    ["five axes", { tensors: [tensor({ shape: [1, 1, 1, 2, 3] })] }, 'tensor "a" must have 1 to 4 axes, got 5'],
    ["no axes", { tensors: [tensor({ shape: [] })] }, 'tensor "a" must have 1 to 4 axes, got 0'],
    ["a type that is not read", { tensors: [tensor({ type: 10 })] }, "must have type F32, F16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K, IQ4_NL, BF16, MXFP4, got Q2_K"],
    ["rows that superblocks do not divide", { tensors: [tensor({ type: 12, shape: [2, 128] })] }, "must have rows of a multiple of 256 numbers to be Q4_K, got [2,128]"],
    ["a type that nobody knows", { tensors: [tensor({ type: 999 })] }, "got 999"],
    ["rows that blocks do not divide", { tensors: [q4Blocks([2, 48], 54)] }, "must have rows of a multiple of 32 numbers to be Q4_0, got [2,48]"],
    ["a size beyond 2^53", { tensors: [tensor({ shape: [2 ** 30, 2 ** 30] })] }, "must have fewer than 2^53 bytes"],
    ["an extent beyond 2^53", { tensors: [tensor({ shape: [2n ** 63n] })] }, 'tensor "a" must be an integer within 2^53'],
    ["a tensor larger than the file", { tensors: [tensor({ shape: [2, 300] })] }, 'tensor "a": must lie within the file of'],
    ["a tensor behind the file", { tensors: [tensor({ offset: 64 })] }, "bytes, got bytes 160 to 184"],
    ["an offset off the alignment", { tensors: [tensor({ offset: 16 })] }, "must begin at a multiple of 32 bytes, got offset 16"],
    ["an overlap", { tensors: [tensor(), tensor({ name: "b", offset: 0 })] }, 'tensor "b": must begin behind "a"'],
    ["alignment 12", { metadata: { "general.alignment": value.u32(12) } }, "must be a positive multiple of 8 below 2^32, got 12"],
    ["alignment 0", { metadata: { "general.alignment": value.u32(0) } }, "got 0"],
    ["alignment by name", { metadata: { "general.alignment": value.string("32") } }, 'got "32"'],
  ];
  test.each(cases)("%s", async (_, file, message) => {
    expect(await refusal(ggufFile(file))).toContain(message);
  });

  test("another format", async () => {
    expect(await refusal(new TextEncoder().encode("GGJT____"))).toContain("must begin with GGUF");
  });

  test("any cut, with the right words", async () => {
    const file = ggufFile({ metadata: { "a.b": value.array(8, [str("x")]) }, tensors: [tensor()] });
    for (let length = 0; length < file.length - 8; length++) {
      expect(await refusal(file.subarray(0, length))).toContain("must lie within the file");
    }
  });

  test("a header beyond 100 MB, before that much is read", async () => {
    let read = 0;
    const start = ggufFile({ metadata: { a: joined(u32(9), u32(0), u64(2 ** 30)) } });
    const source: Source = {
      name: "f",
      byteLength: 2 ** 40,
      read: async (begin, end) => {
        read += end - begin;
        const bytes = new Uint8Array(end - begin);
        if (begin === 0) bytes.set(start.subarray(0, end));
        return bytes;
      },
    };
    expect(await refusal(source)).toContain('metadata "a" must lie within the first 100000000 bytes, got');
    expect(read).toBeLessThanOrEqual(2 ** 20);
  });
});

describe("right, and unusual", () => {
  test("an alignment of its own, arrays in arrays, empty tensors", async () => {
    const metadata = {
      "general.alignment": value.u32(64),
      nested: value.array(9, [joined(u32(0), u64(2), u8(1), u8(2)), joined(u32(8), u64(1), str("a"))]),
    };
    const empty = tensor({ name: "none", shape: [0, 3], bytes: new Uint8Array(0) });
    const file = await openGguf(ggufFile({ metadata, tensors: [empty, tensor()], alignment: 64 }));
    expect(file.metadata.get("nested")).toEqual([Uint8Array.of(1, 2), ["a"]]);
    expect([...file.tensors.values()].map(({ name, begin, end }) => [name, begin % 64, end - begin])).toEqual([
      ["none", 0, 0],
      ["a", 0, 24],
    ]);
  });

  test("a vocabulary longer than the first window is read piece by piece, each byte once", async () => {
    const tokens = Array.from({ length: 60_000 }, (_, i) => `token number ${i}`);
    const bytes = ggufFile({
      metadata: { "tokenizer.ggml.tokens": value.array(8, tokens.map(str)) },
      tensors: [tensor()],
    });
    const reads: (readonly number[])[] = [];
    const source = bytesSource(bytes);
    const { metadata } = await openGguf({
      ...source,
      read: (begin, end) => (reads.push([begin, end]), source.read(begin, end)),
    });
    expect(metadata.get("tokenizer.ggml.tokens")).toEqual(tokens);
    expect(reads).toEqual([
      [0, 2 ** 20],
      [2 ** 20, Math.min(2 ** 22, bytes.length)],
    ]);
  });
});
