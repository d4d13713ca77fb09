// Stores the matrices of a model in few bits, in place.
import type { Activations } from "../backends/backend.js";
import { ConfigError, ShapeError } from "../core/errors.js";
import { rowsOf } from "../core/shape.js";
import type { SchemeName } from "../core/view.js";
import { isRouterWeight, placesOf, type Place } from "../layers/layer.js";
import { encodedBy } from "../ops/expect.js";
import { quantize } from "../ops/quantize.js";
import { tensor } from "../tensor/create.js";
import { PackedTensor } from "../tensor/packed-tensor.js";
import { keep, scope } from "../tensor/scope.js";
import type { Tensor } from "../tensor/tensor.js";
import { expectImportance } from "./schemes/importance.js";
import { partSpecs, type Scheme } from "./schemes/scheme.js";
import { schemeNamed } from "./schemes/schemes.js";

export interface PackOptions {
  /** Of `schemes` by name, or one of your own. */
  readonly scheme: SchemeName | Scheme;
  /**
   * "f32" unless given. "q8": the packed blocks round each row of their input by the Q8_0 rule first, on every backend alike, which lets
   * products run on integers. It belongs to the model from here on.
   */
  readonly activations?: Activations;
  /**
   * How much the error of each column of a matrix counts, by path, as `calibrate` finds it; only for schemes that search for their scales. A
   * matrix without an entry is packed with all columns alike.
   */
  readonly importance?: ReadonlyMap<string, Float32Array>;
  /** Which matrices, by path; all but those of routers unless given. */
  readonly where?: (path: string) => boolean;
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
  { scheme, activations = "f32", importance, where = (path) => !isRouterWeight(path) }: PackOptions,
): Promise<void> {
  const by = typeof scheme === "string" ? schemeNamed("packModel", scheme) : scheme;
  if (importance && by.scales !== "leastSquares")
    throw new ConfigError(
      `packModel: importance needs a scheme that searches for its scales, got ${by.name}; make it with scales: "leastSquares"`,
    );
  const chosen = placesOf(model).filter((place) => isMatrix(place) && where(place.path));
  if (chosen.length === 0)
    throw new ConfigError("packModel: where must choose a matrix of the model, got none; see allParameters(model)");
  for (const place of chosen) {
    expectPackable(place, by);
    const own = importance?.get(place.path);
    if (own) expectImportance(`packModel: ${place.path}`, place.parameter.shape, own);
  }
  const packed = new Map<Tensor, PackedTensor>();
  for (const { path, block, field, parameter } of chosen) {
    const weight = parameter as Tensor;
    const anew = packed.get(weight) ?? (await pack(weight, by, importance?.get(path)));
    packed.set(weight, anew);
    block[field] = anew;
    block.activations = activations;
    weight.dispose();
  }
}

function isMatrix({ block, parameter }: Place): boolean {
  return "activations" in block && parameter.shape.length >= 2;
}

function expectPackable({ path, parameter }: Place, { name, block }: Scheme): void {
  if (parameter instanceof PackedTensor)
    throw new ConfigError(`packModel: ${path} must be plain, got ${parameter.toString()}; leave it out by where`);
  const { width } = rowsOf(parameter.shape);
  if (width % block === 0) return;
  throw new ShapeError(
    `packModel: ${path} must have rows of whole blocks of ${block} for ${name}, got ${parameter.toString()}; leave it out by where`,
  );
}

/** On the device where that encodes by the scheme, else on the host. */
async function pack(weight: Tensor, scheme: Scheme, importance?: Float32Array): Promise<PackedTensor> {
  const { backend, shape } = weight;
  const onHost = scheme.hostOnly === true || importance !== undefined;
  if (!onHost && encodedBy(backend.features).includes(scheme.name)) return keep(scope(() => quantize(weight, scheme)));
  const words = scheme.encode((await weight.data()) as Float32Array, shape, importance);
  const specs = partSpecs(scheme, shape);
  return keep(
    scope(() => {
      const parts = words.map((part, i) => tensor(backend, part, specs[i].shape));
      return new PackedTensor(scheme, shape, "plain", parts);
    }),
  );
}
