// Trains a model's matrices in few bits: they stay f32 and learn, and products read them as they will be packed.
import type { Activations } from "../backends/backend.js";
import { ConfigError } from "../core/errors.js";
import {
  isRouterWeight,
  placesOf,
  type ActivationRounding,
  type Layer,
  type Parameter,
  type Place,
  type Roundings,
} from "../layers/layer.js";
import { cast } from "../ops/cast.js";
import { exp } from "../ops/unary.js";
import { tensor } from "../tensor/create.js";
import { PackedTensor } from "../tensor/packed-tensor.js";
import { keep, scope } from "../tensor/scope.js";
import type { Tensor } from "../tensor/tensor.js";
import { fakeQuant, quantized, type GivenScales } from "./fake-quant.js";
import { expectWholeBlocks, matricesOf, packed, type Where } from "./matrices.js";
import { packBits, unpackBits } from "./schemes/bits.js";
import { f16ToF32, scaleToF16 } from "./schemes/float-codes.js";
import type { IntegerScheme } from "./schemes/integer.js";
import { partSpecs, type Scheme, type Words } from "./schemes/scheme.js";

/**
 * Rounds as an integer scheme stores, straight through for gradients: matrices in `roundings`, or the inputs of products as `activations`, where
 * a row is a token. Scales follow from the numbers unless they learn.
 */
export class FakeQuant implements Layer {
  readonly scheme: IntegerScheme;
  /** f32 [groups]: logarithms of the scales, if they learn; a step of the optimizer changes a scale by a part of itself, and none below 0. */
  readonly logScale: Tensor | undefined;
  /** i32 [groups]: the zero points beside them, which stay. */
  readonly zero: Tensor | undefined;

  constructor(scheme: IntegerScheme, learned: { readonly logScale?: Tensor; readonly zero?: Tensor } = {}) {
    this.scheme = scheme;
    this.logScale = learned.logScale;
    this.zero = learned.zero;
  }

  /** @param x f32 [..., width] @returns f32 of the same shape; see {@link fakeQuant} */
  forward(x: Tensor): Tensor {
    return fakeQuant(x, this.scheme, this.#given());
  }

  #given(): GivenScales | undefined {
    if (!this.logScale) return undefined;
    return { scale: exp(this.logScale), ...(this.zero ? { zero: cast(this.zero, "f32") } : {}) };
  }

  /** What {@link forward} gives, packed: the same codes and scales, read from the device. */
  async pack(weight: Tensor): Promise<PackedTensor> {
    const { scheme } = this;
    const found = scope(() => quantized(weight, scheme, this.#given()) as never) as ReturnType<typeof quantized>;
    const { numbers, scale, zero, scaled } = found;
    try {
      const [codes, scales] = [(await numbers.data()) as Float32Array, (await scale.data()) as Float32Array];
      const zeros = zero && ((await zero.data()) as Float32Array);
      const size = numbers.shape[1];
      if (zeros) for (let i = 0; i < codes.length; i++) codes[i] += zeros[Math.floor(i / size)];
      return packed(weight, scheme, wordsOf(scheme, weight.shape, codes, scales, zeros));
    } finally {
      for (const made of [numbers, scale, scaled, zero]) made?.dispose();
    }
  }
}

function wordsOf(
  scheme: IntegerScheme,
  shape: readonly number[],
  codes: Float32Array,
  scales: Float32Array,
  zeros: Float32Array | undefined,
): readonly Words[] {
  return scheme.parts.map(({ role, bits, as }, i) => {
    if (role === "scale" && as === "f32") return scales;
    const [rows] = partSpecs(scheme, shape)[i].shape;
    const all = role === "code" ? codes : role === "zero" ? (zeros as Float32Array) : scales.map(scaleToF16);
    return packBits(all, bits, rows, rows === 0 ? 0 : all.length / rows);
  });
}

export interface FakeQuantOptions {
  /** Integers of 2 to 8 bits; one that searches for its scales only with `learnScales`, whose beginning it is then. */
  readonly scheme: IntegerScheme;
  /** Whether the scales are parameters that begin where the scheme's encoder puts them; they follow from the weights unless given. */
  readonly learnScales?: boolean;
  /** How products round their inputs meanwhile; as in `PackOptions`, to which the same is to be given then. */
  readonly activations?: Activations | ActivationRounding;
  /** Which matrices, by path; all but those of routers unless given. */
  readonly where?: Where;
}

/**
 * From here on products read the chosen matrices rounded by the scheme, while the parameters themselves stay f32: train on, then `packModel` to the
 * same scheme, which packs just the numbers that were trained with. Matrices that blocks share are rounded alike.
 *
 * @throws ConfigError if nothing is chosen, or a matrix is packed, rounded already, or of a block without `roundings`; ShapeError for a width
 *   that the groups do not divide; nothing has changed then
 */
export async function fakeQuantModel(
  model: object,
  { scheme, learnScales = false, activations, where = (path) => !isRouterWeight(path) }: FakeQuantOptions,
): Promise<void> {
  if (scheme.scales === "leastSquares" && !learnScales) {
    throw new ConfigError(
      `fakeQuantModel: scales by least squares must not be searched for in each step, got ${scheme.name}; add learnScales: true, or take absmax`,
    );
  }
  const chosen = matricesOf(model, where);
  if (chosen.length === 0)
    throw new ConfigError(
      "fakeQuantModel: where must choose a matrix of the model, got none; see allParameters(model)",
    );
  for (const place of chosen) expectTrainable(place, scheme);
  const made = new Map<Parameter, FakeQuant>();
  for (const { path, block, field, parameter } of chosen) {
    if (activations !== undefined && !isRouterWeight(path)) block.activations = activations;
    const rounding =
      made.get(parameter) ?? (learnScales ? await learning(parameter as Tensor, scheme) : new FakeQuant(scheme));
    made.set(parameter, rounding);
    (block.roundings as Roundings)[field] = rounding;
  }
}

function expectTrainable(place: Place, scheme: IntegerScheme): void {
  const { path, block, field, parameter } = place;
  const roundings = block.roundings as Roundings | undefined;
  const problem =
    parameter instanceof PackedTensor
      ? `must be plain, got ${parameter.toString()}; dequantizeModel first`
      : roundings === undefined
        ? "must belong to a block that reads it by `roundings`, got one without; leave it out by where"
        : roundings[field]
          ? "must be trained in full so far, got one that is rounded; packModel it, or leave it out by where"
          : undefined;
  if (problem) throw new ConfigError(`fakeQuantModel: ${path} ${problem}`);
  expectWholeBlocks("fakeQuantModel", place, scheme);
}

/** What a matrix is trained with. */
export function roundingOf({ block, field }: Place): FakeQuant | undefined {
  const rounding = (block.roundings as Roundings | undefined)?.[field];
  return rounding instanceof FakeQuant ? rounding : undefined;
}

/** @throws ConfigError if the matrix was trained for another scheme */
export function expectTrainedFor(place: Place, { name }: Scheme): void {
  const rounding = roundingOf(place);
  if (!rounding || rounding.scheme.name === name) return;
  throw new ConfigError(
    `packModel: ${place.path} was trained for ${rounding.scheme.name} and must be packed so, got ${name}; repackModel afterwards`,
  );
}

/** Once the matrices are packed. Scales that another matrix's block still reads by live on. */
export function endRoundings(model: object, packed: readonly Place[]): void {
  const ended = new Set<FakeQuant>();
  for (const place of packed) {
    const rounding = roundingOf(place);
    if (rounding === undefined) continue;
    delete (place.block.roundings as Roundings)[place.field];
    ended.add(rounding);
  }
  for (const place of placesOf(model)) ended.delete(roundingOf(place) as FakeQuant);
  for (const { logScale, zero } of ended) for (const made of [logScale, zero]) made?.dispose();
}

/** Scales that begin as the encoder chooses them, but for the rounding of a logarithm; under one of 0 nothing could learn. */
async function learning(weight: Tensor, scheme: IntegerScheme): Promise<FakeQuant> {
  const { backend, shape } = weight;
  const words = scheme.encode((await weight.data()) as Float32Array, shape);
  const numbers = words.slice(1).map((part, i) => {
    const [rows, wordsPerRow] = partSpecs(scheme, shape)[i + 1].shape;
    const perRow = typeof scheme.group === "number" ? shape[shape.length - 1] / scheme.group : wordsPerRow;
    return part instanceof Uint32Array ? unpackBits(part, scheme.parts[i + 1].bits, rows, perRow) : part;
  });
  const stored = numbers[numbers.length - 1];
  const scales = stored instanceof Float32Array ? stored : Float32Array.from(stored, f16ToF32);
  const logScale = tensor(
    backend,
    scales.map((scale) => Math.log(scale === 0 ? 2 ** -14 : scale)),
  );
  const zero = scheme.affine ? keep(tensor(backend, Int32Array.from(numbers[0]))) : undefined;
  return new FakeQuant(scheme, { logScale: keep(logScale), zero });
}
