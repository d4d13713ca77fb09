// The ways to store the model that are compared.
import { Random, parameters, type Qwen3 } from "qwen-blocks";
import { calibrate, fakeQuantModel, fp4, int4, nf4, packModel, repackModel, type Where } from "qwen-blocks/quant";
import { AdamW, Trainer, cosineSchedule, sampleBatch, train } from "qwen-blocks/train";
import { textsOf } from "../train-toy/measure.js";
import type { Recipe } from "../train-toy/settings.js";

/** What a format may learn from: the text that the model was trained on, and how. */
export interface Material {
  readonly training: Int32Array;
  readonly recipe: Recipe;
  /** Weight of the load-balancing loss. */
  readonly aux: number;
  /** Steps that training in few bits takes. */
  readonly steps: number;
}

export interface Format {
  readonly name: string;
  /** In a few words, for the report. */
  readonly about: string;
  /** The name of an earlier format, whose numbers this one stores; with it the agreement is measured as well. */
  readonly madeFrom?: string;
  /** Stores the matrices of a model anew, in place. */
  store(model: Qwen3, material: Material): Promise<void>;
}

const by = (scheme: string, name: string, about: string): Format => ({
  name,
  about,
  store: (model) => packModel(model, { scheme }),
});

const searched = int4({ scales: "leastSquares" });
const inFp4 = (model: Qwen3): Promise<void> => packModel(model, { scheme: fp4({ scales: "leastSquares" }) });

async function expertsInFp4(model: Qwen3): Promise<void> {
  const isExpert: Where = (path) => path.includes(".experts.");
  await packModel(model, { scheme: fp4({ scales: "leastSquares" }), where: isExpert });
  await packModel(model, { scheme: "int8", where: (path) => !isExpert(path) && !path.endsWith(".gate.weight") });
}

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
  { name: "FP4", about: "E2M1, the scale of the least error of 32 numbers", store: inFp4 },
  {
    name: "FP4 → int8",
    about: "what FP4 left, stored as int8",
    madeFrom: "FP4",
    async store(model) {
      await inFp4(model);
      await repackModel(model, { scheme: "int8" });
    },
  },
  {
    name: "FP4 experts",
    about: "experts alone in FP4, as published FP4 models have it, the rest as int8",
    store: expertsInFp4,
  },
  {
    name: "FP4 experts → int8",
    about: "what FP4 left of the experts, stored as int8 too",
    madeFrom: "FP4 experts",
    async store(model) {
      await expertsInFp4(model);
      await repackModel(model, { scheme: "int8" });
    },
  },
  by("int4", "int4, absmax", "the largest number of 32 sets the scale"),
  {
    name: "int4, least squares",
    about: "the scale of the least error of 32 numbers",
    store: (model) => packModel(model, { scheme: searched }),
  },
  {
    name: "int4, activation-aware",
    about: "errors weighed by the inputs that meet them",
    store: async (model, material) =>
      packModel(model, { scheme: searched, importance: await calibrate(model, calibrationTexts(material)) }),
  },
  {
    name: "int4, trained in it",
    about: "some steps with rounded weights first",
    async store(model, material) {
      await fakeQuantModel(model, { scheme: int4() });
      await learn(model, material);
      await packModel(model, { scheme: int4() });
    },
  },
  { name: "f32, trained on", about: "as many steps without rounding, to compare the last one with", store: learn },
];

function* calibrationTexts({ training, recipe }: Material) {
  const random = new Random(1).fork("calibration");
  for (let i = 0; i < 16; i++) yield textsOf(sampleBatch(training, recipe, random));
}

/** A short training at a tenth of the learning rate that the model began with. */
async function learn(model: Qwen3, { training, recipe, aux, steps }: Material): Promise<void> {
  const { weightDecay, maxGradNorm, peakLearningRate } = recipe;
  using optimizer = new AdamW(parameters(model), { weightDecay });
  const schedule = cosineSchedule({
    peak: peakLearningRate / 10,
    warmupSteps: Math.floor(steps / 10),
    totalSteps: steps,
  });
  const trainer = new Trainer(model, { optimizer, schedule, routerAuxLossCoef: aux, maxGradNorm });
  const random = new Random(1).fork("trained in few bits");
  for await (const _ of train(trainer, training, { ...recipe, steps, random }));
}
