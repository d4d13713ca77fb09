// Stores one trained model in every format and measures what that costs and brings.
import { PackedTensor, Qwen3, allParameters, disposeAll, parameters, tensor, weightsFrom } from "qwen-blocks";
import { evaluateOn, type HeldOut } from "../train-toy/measure.js";
import { agreementOf, logitsOf, type Agreement, type Logits } from "./agreement.js";
import type { Format, Material } from "./formats.js";
import { speedOf, type Speed } from "./speed.js";

export interface Stored extends Agreement, Speed {
  readonly format: Format;
  /** Of the numbers that are packed, or 32. */
  readonly bitsPerWeight: number;
  /** Of all parameters. */
  readonly bytes: number;
  /** Nats per held-out token. */
  readonly loss: number;
  /** With the format that it was made from. */
  readonly withSource?: Agreement;
}

export async function compareFormats(
  model: Qwen3,
  formats: readonly Format[],
  { many }: HeldOut,
  material: Material,
  print: (line: string) => void,
): Promise<Stored[]> {
  const reference = await logitsOf(model, many);
  const { vocabSize } = model.config;
  const sources = new Map<string, Logits>();
  const all: Stored[] = [];
  for (const format of formats) {
    const other = await copyOf(model);
    try {
      await format.store(other, material);
      const logits = await logitsOf(other, many);
      if (formats.some(({ madeFrom }) => madeFrom === format.name)) sources.set(format.name, logits);
      const source = sources.get(format.madeFrom ?? "");
      const stored: Stored = {
        format,
        ...sizeOf(other),
        loss: await evaluateOn(other, many),
        ...agreementOf(reference, logits, vocabSize),
        ...(await speedOf(other, many[0])),
        ...(source && { withSource: agreementOf(source, logits, vocabSize) }),
      };
      all.push(stored);
      print(line(stored, all[0]));
    } finally {
      disposeAll(other);
    }
  }
  return all;
}

/** Some formats train the model that they are given. */
async function copyOf(model: Qwen3): Promise<Qwen3> {
  const numbers = new Map<string, Float32Array<ArrayBuffer>>();
  for (const [path, weight] of parameters(model)) numbers.set(path, (await weight.data()) as Float32Array<ArrayBuffer>);
  const weights = weightsFrom(model.backend, (path, shape) =>
    tensor(model.backend, numbers.get(path) as Float32Array<ArrayBuffer>, shape),
  );
  return new Qwen3(weights, model.config);
}

function sizeOf(model: Qwen3): { bitsPerWeight: number; bytes: number } {
  const weights = [...allParameters(model).values()];
  const packed = weights.filter((weight) => weight instanceof PackedTensor);
  const numbers = packed.reduce((total, { shape }) => total + shape.reduce((size, extent) => size * extent, 1), 0);
  const bits = packed.reduce((total, { byteLength }) => total + 8 * byteLength, 0);
  return {
    bitsPerWeight: numbers === 0 ? 32 : bits / numbers,
    bytes: weights.reduce((total, { byteLength }) => total + byteLength, 0),
  };
}

function line(stored: Stored, first: Stored): string {
  const { format, bitsPerWeight, bytes, loss, divergence, sameFirst, prefill, decode, withSource } = stored;
  return [
    format.name.padEnd(22),
    bitsPerWeight.toFixed(2).padStart(6),
    `${(bytes / 1e6).toFixed(2)} MB`.padStart(9),
    loss.toFixed(4).padStart(8),
    `${(100 * (loss / first.loss - 1)).toFixed(2)} %`.padStart(9),
    divergence.toFixed(5).padStart(9),
    `${(100 * sameFirst).toFixed(1)} %`.padStart(8),
    prefill.toFixed(0).padStart(8),
    decode.toFixed(0).padStart(7),
    withSource ? `  top-1 with ${format.madeFrom}: ${(100 * withSource.sameFirst).toFixed(1)} %` : "",
  ].join(" ");
}

export const heading =
  "format                   bits      size     loss      more        KL    top-1  prefill  decode (tokens/s)";
