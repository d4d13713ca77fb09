// Packed numbers in the order of words that a backend likes best.
import { BackendError, DTypeError } from "../core/errors.js";
import { dispatch } from "../tensor/dispatch.js";
import type { OpDef } from "../tensor/op.js";
import { PackedTensor } from "../tensor/packed-tensor.js";

const def: OpDef<"repack"> = {
  name: "repack",
  infer([x], { layout }) {
    if (!(x instanceof PackedTensor)) {
      throw new DTypeError(`repack: x must be packed, got ${String(x)}; quantize() it first`);
    }
    return [{ shape: x.shape, scheme: x.scheme, layout }];
  },
  // Layouts are a backend's own; what is in order already is only shared.
  composite([x], { layout }) {
    if (layout !== x.layout) {
      throw new BackendError(
        `repack: backend "${x.backend.name}" must know how ${x.toString()} goes from layout "${x.layout}" to "${layout}", got no kernel that does; keep "${x.layout}"`,
      );
    }
    const parts = x.parts.map((part) => part.window(part.shape, part.dtype, 0));
    return [new PackedTensor(x.scheme, x.shape, layout, parts)];
  },
};

/**
 * The same numbers with the words of each part in another order: "plain", or what `backend.features.schemes` names for the scheme.
 * @throws DTypeError if x is not packed, BackendError if the backend does not know the layout
 */
export const repack = (x: PackedTensor, layout: string): PackedTensor => dispatch(def, [x], { layout })[0];
