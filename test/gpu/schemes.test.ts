// Every scheme that the kernels read: numbers bit by bit as the host decodes them, and each op that takes a packed operand, along each of its
// ways, within the oracle's bounds. The suite draws schemes too, but seldom each of them on each way.
import {
  dequantize, expertLinear, expertLinearGrad, expertMlp, gatherRows, linear, linearGrad, PackedTensor, Random, tensor, type Tensor, type Activations, type Backend,
} from "qwen-blocks"; // prettier-ignore
import { decode, partSpecs, schemes, type Scheme, type Words } from "qwen-blocks/quant";
import { webgpu } from "qwen-blocks/webgpu";
import { afterAll, describe, expect, test } from "vitest";
import { expectSame, Tally, type Way } from "../laws/expect-same.js";
import { ints, normal, normals } from "../tensor/numbers.js";
import { asHardware, openInNode } from "./dawn.js";
import { smallDevice } from "./small-device.js";

type Shape = readonly number[];

const sizeOf = (shape: Shape): number => shape.reduce((size, extent) => size * extent, 1);

function packed(where: Backend, scheme: Scheme, words: readonly Words[], shape: Shape): PackedTensor {
  const specs = partSpecs(scheme, shape);
  const parts = words.map((part, i) => tensor(where, part as Float32Array<ArrayBuffer>, specs[i].shape));
  return new PackedTensor(scheme, shape, "plain", parts);
}

const weight = (where: Backend, scheme: Scheme, shape: Shape): PackedTensor =>
  packed(where, scheme, scheme.encode(Float32Array.from(normals(1, sizeOf(shape), 0.4)), shape), shape);

/** Numbers of all sizes: scales that are subnormal as f16, a block of zeros, one with an outlier, one that decodes to NaN. */
function numbersOf(shape: Shape): Float32Array {
  const x = Float32Array.from(normals(2, sizeOf(shape)), (value, i) => value * 2 ** -(Math.floor(i / 32) % 22));
  x.fill(0, 32, 64);
  if (x.length > 70) x[70] = 1000;
  if (x.length > 100) x[100] = NaN;
  return x;
}

/** The bits of numbers; NaN is any of them. */
const bitsOf = (x: Float32Array): string[] =>
  [...new Uint32Array(x.buffer)].map((word, i) => (Number.isNaN(x[i]) ? "NaN" : word.toString(16)));

async function expectDecoded(backend: Backend, scheme: Scheme, words: readonly Words[], shape: Shape): Promise<void> {
  const expected = bitsOf(decode(scheme, words, shape));
  const x = packed(backend, scheme, words, shape);
  const y = dequantize(x);
  expect(bitsOf((await y.data()) as Float32Array), `${scheme.name} ${shape.join()}`).toEqual(expected);
  y.dispose();
  const [count] = shape;
  const rows = [count - 1, 0, -1, count, 0];
  const inRow = sizeOf(shape.slice(1));
  const found = gatherRows(x, ints(backend, rows));
  expect(bitsOf((await found.data()) as Float32Array), `rows of ${scheme.name} ${shape.join()}`).toEqual(
    rows.flatMap((row) =>
      row in Array(count).fill(0) ? expected.slice(row * inRow, (row + 1) * inRow) : Array<string>(inRow).fill("0"),
    ),
  );
  found.dispose();
  x.dispose();
}

const shapes: readonly Shape[] = [[2, 3, 300], [130, 8], [7, 37], [2, 129, 132], [1, 1], [3, 0], [0, 4]]; // prettier-ignore

/** How a product is called: the width of the weight's rows, even or odd, and rows of x, few or many. */
interface Call {
  readonly width: 64 | 37;
  readonly rows: 3 | 20;
  readonly activations: Activations;
}

/** Rows of a weight: of a matrix more than a tile of scales has, of an expert's few. */
const [outs, expertOuts] = [130, 9];
const products: Readonly<Record<string, (scheme: Scheme, call: Call) => Way>> = {
  linear:
    (scheme, { width, rows, activations }) =>
    (where) => [
      linear(normal(where, 3, [rows, width]), weight(where, scheme, [outs, width]), normal(where, 4, [outs]), {
        activations,
      }),
    ],
  expertLinear:
    (scheme, { width, rows, activations }) =>
    (where) => [
      expertLinear(
        normal(where, 3, [rows, width]),
        weight(where, scheme, [4, expertOuts, width]),
        chosen(where, rows),
        {
          activations,
        },
      ),
    ],
  expertMlp:
    (scheme, { width, rows, activations }) =>
    (where) => [
      expertMlp(
        normal(where, 3, [rows, width]),
        weight(where, scheme, [4, 74, width]),
        weight(where, scheme, [4, width, 37]),
        chosen(where, rows),
        normal(where, 5, [rows, 2]),
        { activations },
      ),
    ],
  linearGrad:
    (scheme, { width, rows }) =>
    (where) => [
      linearGrad(
        normal(where, 3, [rows, width]),
        weight(where, scheme, [outs, width]),
        normal(where, 6, [rows, outs]),
        [true, false, false],
      )[0] as Tensor,
    ],
  expertLinearGrad:
    (scheme, { width, rows }) =>
    (where) => [
      expertLinearGrad(
        normal(where, 3, [rows, width]),
        weight(where, scheme, [4, expertOuts, width]),
        chosen(where, rows),
        normal(where, 6, [rows, 2, expertOuts]),
        [true, false],
      )[0] as Tensor,
    ],
};

/** Two slots for each row; some are empty. */
const chosen = (where: Backend, rows: number): Tensor =>
  ints(
    where,
    Array.from({ length: 2 * rows }, (_, i) => ((7 * i) % 5) - 1),
    [rows, 2],
  );

/** Kernels of real GPUs, those of an emulated one, and a device whose buffers hold little. */
const hardware = await openInNode({ gpu: await asHardware() });
const emulated = await openInNode();
const small = await smallDevice(4096);
const cramped = await webgpu({ device: small.device });
afterAll(async () => {
  for (const backend of [hardware, emulated, cramped]) await backend[Symbol.asyncDispose]();
  small.device.destroy();
});

const own = ["f16", "bf16", "q8_0", "q4_0"];
const listed = Object.values(schemes).filter(({ name }) => name in hardware.features.schemes);

test("what is read and what is encoded", () => {
  expect(listed.map(({ name }) => name).sort()).toEqual(
    ["bf16", "f16", "fp8_e4m3", "fp8_e4m3_tile", "fp8_e5m2", "int4", "int4_affine"].concat(
      ["int8", "int8_affine", "iq4_nl", "mxfp4", "q4_0", "q4_1", "q4_k", "q6_k", "q8_0"], // prettier-ignore
    ),
  );
  expect(hardware.features.encodes).toEqual(own);
});

describe.each(listed.map((scheme) => ({ name: scheme.name, scheme })))("$name", ({ scheme }) => {
  test("numbers, bit by bit", async () => {
    for (const shape of shapes) await expectDecoded(hardware, scheme, scheme.encode(numbersOf(shape), shape), shape);
  });

  test("every code", async () => {
    const shape = [8, 64];
    const [codes, ...shared] = scheme.encode(Float32Array.from(normals(3, sizeOf(shape))), shape);
    const random = new Random(4);
    const drawn = Uint32Array.from(codes, () => random.integer(2 ** 16) * 2 ** 16 + random.integer(2 ** 16));
    await expectDecoded(hardware, scheme, [drawn, ...shared], shape);
  });

  test("in more pieces than a dispatch has bindings", async () => {
    for (const shape of [
      [1980, 1],
      [44, 45],
    ]) {
      // prettier-ignore
      await expectDecoded(cramped, scheme, scheme.encode(numbersOf(shape), shape), shape);
    }
  });
});

/** Whose texts are made from a description; the suite draws the others half of the time. */
const described = listed.filter(({ name }) => !own.includes(name));

test.each(described.map((scheme) => ({ name: scheme.name, scheme })))(
  "$name: products and gradients",
  async ({ scheme }) => {
    const tally = new Tally();
    const expectOp = (op: string, call: Call, backend: Backend = hardware): Promise<void> =>
      expectSame(backend, { [op]: products[op](scheme, call) }, tally, { drawn: [scheme.name, call] });
    const even: Call = { width: 64, rows: 3, activations: "q8" };
    const odd: Call = { width: 37, rows: 3, activations: "f32" };
    for (const call of [even, odd]) {
      await expectOp("linear", call);
      await expectOp("expertLinear", call);
    }
    // Schemes that differ from another one in a part's numbers alone: those were read above.
    if (["int4_affine", "iq4_nl", "fp8_e4m3", "fp8_e5m2"].includes(scheme.name)) return;
    await expectOp("linear", { ...even, rows: 20 });
    await expectOp("linear", { ...odd, rows: 20 }, emulated);
    await expectOp("expertLinear", { ...odd, rows: 20 });
    await expectOp("expertMlp", odd);
    await expectOp("linearGrad", odd);
    await expectOp("expertLinearGrad", odd);
    tally.expectMost();
  },
);

test("no call was left to a composite", () => {
  for (const { info } of [hardware, emulated]) expect(info).toMatchObject({ declined: "" });
});
