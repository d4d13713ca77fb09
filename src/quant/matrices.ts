// The matrices of a model's blocks, and storing them anew one at a time, so that memory holds one more than the model.
import type { Activations } from "../backends/backend.js";
import { ShapeError } from "../core/errors.js";
import { rowsOf } from "../core/shape.js";
import { isRouterWeight, placesOf, type ActivationRounding, type Parameter, type Place } from "../layers/layer.js";
import { dequantize } from "../ops/dequantize.js";
import { encodedBy } from "../ops/expect.js";
import { quantize } from "../ops/quantize.js";
import { tensor } from "../tensor/create.js";
import { PackedTensor } from "../tensor/packed-tensor.js";
import { keep, scope } from "../tensor/scope.js";
import type { Tensor } from "../tensor/tensor.js";
import { partSpecs, type Scheme, type Words } from "./schemes/scheme.js";

/** Chooses matrices by their path in the model. */
export type Where = (path: string) => boolean;

/** Matrices are the parameters of two axes or more in blocks with a field `activations`, as `Linear`, `Embedding` and `Experts` have. */
export function matricesOf(model: object, where: Where): Place[] {
  return placesOf(model).filter(
    ({ path, block, parameter }) => "activations" in block && parameter.shape.length >= 2 && where(path),
  );
}

/** How products round their inputs from then on: as asked for, or else as `otherwise` where no packed matrix of the block stays as it is. */
export interface ReplacedActivations {
  readonly given?: Activations | ActivationRounding | undefined;
  readonly otherwise?: Activations;
}

export function expectWholeBlocks(what: string, { path, parameter }: Place, { name, block }: Scheme): void {
  if (rowsOf(parameter.shape).width % block === 0) return;
  throw new ShapeError(
    `${what}: ${path} must have rows of whole blocks of ${block} for ${name}, got ${parameter.toString()}; leave it out by where`,
  );
}

/**
 * Puts what `make` returns in the place of each matrix; one that several blocks share is made once, and lives on in those that were not chosen.
 * Products of routers stay f32.
 */
export async function replaceMatrices(
  model: object,
  places: readonly Place[],
  make: (parameter: Parameter, place: Place) => Promise<Parameter>,
  { given, otherwise }: ReplacedActivations,
): Promise<void> {
  const made = new Map<Parameter, Parameter>();
  for (const place of places) {
    const { path, block, field, parameter } = place;
    const anew = made.get(parameter) ?? (await make(parameter, place));
    made.set(parameter, anew);
    block[field] = anew;
    const activations = given ?? (holdsOtherPacked(place, places) ? undefined : otherwise);
    if (activations !== undefined && !isRouterWeight(path)) block.activations = activations;
    if (!placesOf(model).some((other) => other.parameter === parameter)) parameter.dispose();
  }
}

/** Whether the block has another packed matrix, one that was not chosen: what it rounds is not to change unasked. */
function holdsOtherPacked({ block }: Place, chosen: readonly Place[]): boolean {
  return Object.entries(block).some(
    ([field, value]) =>
      value instanceof PackedTensor && !chosen.some((place) => place.block === block && place.field === field),
  );
}

/** On the device where that encodes by the scheme, else on the host. */
export async function pack(weight: Tensor, scheme: Scheme, importance?: Float32Array): Promise<PackedTensor> {
  const { backend, shape } = weight;
  const onHost = scheme.hostOnly === true || importance !== undefined;
  if (!onHost && encodedBy(backend.features).includes(scheme.name)) return keep(scope(() => quantize(weight, scheme)));
  return packed(weight, scheme, scheme.encode((await weight.data()) as Float32Array, shape, importance));
}

/** Words that an encoder made of a matrix, on its backend. */
export function packed({ backend, shape }: Tensor, scheme: Scheme, words: readonly Words[]): PackedTensor {
  const specs = partSpecs(scheme, shape);
  return keep(
    scope(() => {
      const parts = words.map((part, i) => tensor(backend, part as Float32Array<ArrayBuffer>, specs[i].shape));
      return new PackedTensor(scheme, shape, "plain", parts);
    }),
  );
}

/** The numbers that a packed matrix stands for. */
export const unpack = (weight: PackedTensor): Tensor => keep(scope(() => dequantize(weight)));
