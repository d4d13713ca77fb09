// Plain numbers stored by a scheme, encoded on the device.
import { BackendError } from "../core/errors.js";
import type { Scheme } from "../quant/schemes/scheme.js";
import { dispatch } from "../tensor/dispatch.js";
import type { OpDef } from "../tensor/op.js";
import type { PackedTensor } from "../tensor/packed-tensor.js";
import type { Tensor } from "../tensor/tensor.js";
import { expectDType, expectEncoded } from "./expect.js";

const def = (scheme: Scheme): OpDef<"quantize"> => ({
  name: "quantize",
  infer([x]) {
    expectDType("quantize", "x", x);
    expectEncoded("quantize", x.backend, scheme.name);
    if (scheme.hostOnly)
      throw new BackendError(
        `quantize: scales of ${scheme.name} by least squares are searched for on the host only; use packModel, or a scheme without`,
      );
    return [{ shape: x.shape, scheme }];
  },
});

/** Encodes in the plain layout. Carries no gradient. @throws BackendError if the backend does not encode by the scheme */
export const quantize = (x: Tensor, scheme: Scheme): PackedTensor =>
  dispatch(def(scheme), [x], { scheme: scheme.name })[0];
