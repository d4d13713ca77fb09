// Stores the packed matrices of a model by another scheme, or as plain numbers again, in place.
import type { Activations } from "../backends/backend.js";
import { ConfigError } from "../core/errors.js";
import type { SchemeName } from "../core/view.js";
import type { ActivationRounding, Place } from "../layers/layer.js";
import { PackedTensor } from "../tensor/packed-tensor.js";
import { expectWholeBlocks, matricesOf, pack, replaceMatrices, unpack, type Where } from "./matrices.js";
import type { Scheme } from "./schemes/scheme.js";
import { schemeNamed } from "./schemes/schemes.js";

export interface RepackOptions {
  /** Of `schemes` by name, or one of your own. */
  readonly scheme: SchemeName | Scheme;
  /** As in `PackOptions`; unless given each block keeps what it has. */
  readonly activations?: Activations | ActivationRounding;
  /** Which of the packed matrices, by path; all of them unless given. */
  readonly where?: Where;
}

/**
 * Stores packed matrices by another scheme, such as `fp4` weights of a checkpoint as `int8`. Each is decoded and encoded by itself, so that
 * memory holds one matrix in f32 beside the model. What has the scheme already keeps its bits. Errors of both roundings add up.
 *
 * @throws ConfigError if none of the chosen matrices is packed, ShapeError that names a matrix whose width the block of the scheme does not
 *   divide, BackendError for an unknown name; nothing has changed then
 */
export async function repackModel(
  model: object,
  { scheme, activations, where = () => true }: RepackOptions,
): Promise<void> {
  const by = typeof scheme === "string" ? schemeNamed("repackModel", scheme) : scheme;
  const chosen = packedMatrices("repackModel", model, where);
  for (const place of chosen) expectWholeBlocks("repackModel", place, by);
  const anew = async (weight: PackedTensor): Promise<PackedTensor> => {
    if (weight.scheme.name === by.name) return weight;
    using plain = unpack(weight);
    return await pack(plain, by);
  };
  await replaceMatrices(model, chosen, (weight) => anew(weight as PackedTensor), { given: activations });
}

export interface DequantizeOptions {
  /** Which of the packed matrices, by path; all of them unless given. */
  readonly where?: Where;
}

/**
 * Makes packed matrices plain f32 again, for example to train the model further: their numbers stay what the packed ones stood for, and
 * products of blocks without packed matrices no longer round their inputs. One matrix at a time.
 *
 * @throws ConfigError if none of the chosen matrices is packed
 */
export async function dequantizeModel(model: object, { where = () => true }: DequantizeOptions = {}): Promise<void> {
  const chosen = packedMatrices("dequantizeModel", model, where);
  await replaceMatrices(model, chosen, async (weight) => unpack(weight as PackedTensor), { otherwise: "f32" });
}

function packedMatrices(what: string, model: object, where: Where): Place[] {
  const chosen = matricesOf(model, where).filter(({ parameter }) => parameter instanceof PackedTensor);
  if (chosen.length > 0) return chosen;
  throw new ConfigError(
    `${what}: where must choose a packed matrix of the model, got none; packModel packs plain ones`,
  );
}
