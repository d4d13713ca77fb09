// A second model of the same weights in the same memory, so that one can be packed and the other stays as it is.
import { Qwen3, allParameters, weightsFrom, type Parameter } from "qwen-blocks";

/** Its handles are its own: free them by `disposeAll`. */
export function sharing(model: Qwen3): Qwen3 {
  const weights = allParameters(model);
  return new Qwen3(
    weightsFrom(model.backend, (path) => (weights.get(path) as Parameter).retain()),
    model.config,
  );
}
