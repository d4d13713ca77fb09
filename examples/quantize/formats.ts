// The ways to store the model that are compared.
import type { Qwen3 } from "qwen-blocks";
import { fp4, int4, nf4, packModel, repackModel } from "qwen-blocks/quant";

export interface Format {
  readonly name: string;
  /** In a few words, for the report. */
  readonly about: string;
  /** Stores the matrices of a model anew, in place. */
  store(model: Qwen3): Promise<void>;
}

const by = (scheme: string, name: string, about: string): Format => ({
  name,
  about,
  store: (model) => packModel(model, { scheme }),
});

export const formats: readonly Format[] = [
  { name: "f32", about: "as it was trained", store: async () => {} },
  by("f16", "f16", "5 bits of exponent"),
  by("bf16", "bf16", "the upper half of an f32"),
  by("fp8_e4m3", "FP8 E4M3", "a scale per row"),
  by("int8", "int8", "a scale per row"),
  by("q8_0", "Q8_0", "llama.cpp's, a scale per 32"),
  {
    name: "Q8_0, inputs too",
    about: "inputs of products rounded as well, so that they run on integers",
    store: (model) => packModel(model, { scheme: "q8_0", activations: "q8" }),
  },
  by("q4_k", "Q4_K", "llama.cpp's, scales and offsets in two levels"),
  by("q4_0", "Q4_0", "llama.cpp's, a scale per 32"),
  by("mxfp4", "MXFP4", "E2M1, a power of two per 32"),
  {
    name: "NF4",
    about: "quantiles of the normal distribution, a scale per 32",
    store: (model) => packModel(model, { scheme: nf4({ group: 32 }) }),
  },
  { name: "FP4", about: "E2M1, a scale per 32", store: (model) => packModel(model, { scheme: fp4() }) },
  {
    name: "FP4 → int8",
    about: "what FP4 left, stored as int8",
    async store(model) {
      await packModel(model, { scheme: "fp4" });
      await repackModel(model, { scheme: "int8" });
    },
  },
  {
    name: "int4, absmax",
    about: "the largest number of 32 sets the scale",
    store: (model) => packModel(model, { scheme: int4() }),
  },
];
