// Decoders whose matrices are stored by a drawn scheme give what the decoded matrices give, with activations of 32 bits or of 8.
import {
  allParameters, dequantize, disposeAll, keep, Linear, MoELayer, PackedTensor, Qwen3, Random, SwigluMlp, tensor, Tensor, type Activations, type Backend, type Parameter,
} from "qwen-blocks"; // prettier-ignore
import { partSpecs, schemes, type Scheme } from "qwen-blocks/quant";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { availableBackends, runs } from "../available-backends.js";
import { livelyWeights } from "../models/tiny.js";
import { configs } from "./drawn-configs.js";
import { expectSame, Tally, type Way } from "./expect-same.js";

type Store = (weight: Tensor) => Parameter;

/** Stores every matrix of the layers and the head anew; norms, the gate and the embedding stay. */
function store(model: Qwen3, how: Store, activations: Activations): void {
  const anew = (weight: Parameter): Parameter => {
    const stored = keep(how(weight as Tensor));
    weight.dispose();
    return stored;
  };
  const linears = [model.lmHead, ...model.layers.flatMap(({ selfAttn }) => [selfAttn.qkvProj, selfAttn.oProj])];
  for (const { mlp } of model.layers) {
    if (mlp instanceof SwigluMlp) linears.push(mlp.gateUpProj, mlp.downProj);
    if (!(mlp instanceof MoELayer)) continue;
    const { experts } = mlp;
    experts.gateUpProj = anew(experts.gateUpProj);
    experts.downProj = anew(experts.downProj);
    experts.activations = activations;
  }
  for (const linear of linears.filter((one) => one instanceof Linear)) {
    linear.weight = anew(linear.weight);
    linear.activations = activations;
  }
}

/** Numbers of the weight's shape, drawn and encoded on the host, since a device may read schemes by which it does not encode. */
function drawnPacked({ backend, shape }: Tensor, scheme: Scheme, seed: number): PackedTensor {
  const random = new Random(seed);
  const size = shape.reduce((product, extent) => product * extent, 1);
  const words = scheme.encode(
    Float32Array.from({ length: size }, () => 0.4 * random.normal()),
    shape,
  );
  const specs = partSpecs(scheme, shape);
  const parts = words.map((part, i) => tensor(backend, part as Float32Array<ArrayBuffer>, specs[i].shape));
  return new PackedTensor(scheme, shape, "plain", parts);
}

describe.each(availableBackends)("$name", ({ open }) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await open();
  });
  afterAll(() => backend[Symbol.asyncDispose]());

  test("packed = decoded", async () => {
    const tally = new Tally();
    // That unlisted schemes decode is among the laws of the ops.
    const listed = Object.values(schemes).filter(({ name }) => name in backend.features.schemes);
    const scheme = fc.constantFrom(...listed);
    const text = fc.array(fc.nat(10), { minLength: 1, maxLength: 4 });
    const drawn = [configs, scheme, fc.constantFrom<Activations>("f32", "q8"), text, fc.nat()] as const;
    await fc.assert(
      fc.asyncProperty(...drawn, async (config, scheme: Scheme, activations, ids, seed) => {
        const stored =
          (how: Store): Way =>
          (where) => {
            const model = new Qwen3(livelyWeights(where, seed), config);
            store(model, how, activations);
            const packed = [...allParameters(model).values()].some((weight) => !(weight instanceof Tensor));
            expect(packed).toBe(how === pack);
            const logits = model.forward([ids]);
            disposeAll(model);
            return [logits];
          };
        const pack: Store = (weight) => drawnPacked(weight, scheme, seed);
        const decode: Store = (weight) => {
          const packed = pack(weight) as PackedTensor;
          const decoded = dequantize(packed);
          packed.dispose();
          return decoded;
        };
        const ways = { packed: stored(pack), decoded: stored(decode) };
        await expectSame(backend, ways, tally, { drawn: [config, scheme.name, activations, ids, seed] });
      }),
      { numRuns: runs(15) },
    );
    tally.expectMost();
  });
});
