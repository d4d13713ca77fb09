// Stores the matrices of a model in few bits, in place.
import type { Activations } from "../backends/backend.js";
import { ConfigError } from "../core/errors.js";
import type { SchemeName } from "../core/view.js";
import { isRouterWeight, type ActivationRounding, type Place } from "../layers/layer.js";
import { PackedTensor } from "../tensor/packed-tensor.js";
import type { Tensor } from "../tensor/tensor.js";
import { endRoundings, expectTrainedFor, roundingOf } from "./fake-quant-model.js";
import { expectWholeBlocks, matricesOf, pack, replaceMatrices, type Where } from "./matrices.js";
import { expectImportance } from "./schemes/importance.js";
import type { Scheme } from "./schemes/scheme.js";
import { schemeNamed } from "./schemes/schemes.js";

export interface PackOptions {
  /** Of `schemes` by name, or one of your own. */
  readonly scheme: SchemeName | Scheme;
  /**
   * "f32" unless given, or what the block has where another packed matrix of it stays. "q8": the packed blocks round each row of their input by the Q8_0 rule first, on every backend alike, which lets
   * products run on integers. It belongs to the model from here on. Products of routers stay f32. Or a rounding of
   * your own, such as `new FakeQuant(int8({ affine: true }))`: 8 bits with a zero point per token.
   */
  readonly activations?: Activations | ActivationRounding;
  /**
   * How much the error of each column of a matrix counts, by path, as `calibrate` finds it; only for schemes that search for their scales. A
   * matrix without an entry is packed with all columns alike.
   */
  readonly importance?: ReadonlyMap<string, Float32Array>;
  /** Which matrices, by path; all but those of routers unless given. */
  readonly where?: Where;
}

/**
 * Packs the matrices of a model's blocks: weights of `Linear`, `Embedding` and `Experts`, and of each block that has, as these have, a field
 * `activations`. Norms and biases are no matrices and stay; routers (`gate.weight`) stay unless `where` names them. One matrix at a time, so
 * that memory holds one more than the model. Gradients flow through packed matrices to their inputs, not to themselves.
 *
 * @throws ConfigError if nothing is to be packed or something is packed already, ShapeError that names a matrix whose width the block of the
 *   scheme does not divide, BackendError for an unknown name; nothing has changed then
 */
export async function packModel(
  model: object,
  { scheme, activations, importance, where = (path) => !isRouterWeight(path) }: PackOptions,
): Promise<void> {
  const by = typeof scheme === "string" ? schemeNamed("packModel", scheme) : scheme;
  if (importance && by.scales !== "leastSquares")
    throw new ConfigError(
      `packModel: importance needs a scheme that searches for its scales, got ${by.name}; make it with scales: "leastSquares"`,
    );
  const chosen = matricesOf(model, where);
  if (chosen.length === 0) {
    throw new ConfigError(
      'packModel: where must choose a matrix of the model, got none; norms and biases are no matrices and stay f32, and a router is packed only if where names it, as (path) => path.endsWith("gate.weight") does; see allParameters(model)',
    );
  }
  for (const place of chosen) {
    const { path, parameter } = place;
    if (parameter instanceof PackedTensor) {
      throw new ConfigError(
        `packModel: ${path} must be plain, got ${parameter.toString()}; leave it out by where, or use repackModel`,
      );
    }
    expectWholeBlocks("packModel", place, by);
    expectTrainedFor(place, by);
    const own = importance?.get(path);
    if (own) expectImportance(`packModel: ${path}`, parameter.shape, own);
  }
  const anew = (weight: Tensor, place: Place): Promise<PackedTensor> =>
    roundingOf(place)?.pack(weight) ?? pack(weight, by, importance?.get(place.path));
  await replaceMatrices(model, chosen, (weight, place) => anew(weight as Tensor, place), {
    given: activations,
    otherwise: "f32",
  });
  endRoundings(model, chosen);
}
