// A second model of the same weights in the same memory, so that it can be packed, or compute otherwise, and the first stays as it is.
import { Qwen3, allParameters, weightsFrom, type Parameter, type Qwen3Config, type Qwen3Options } from "qwen-blocks";

/** Its handles are its own: free them by `disposeAll`. */
export function sharing(model: Qwen3, changed: Partial<Qwen3Config> = {}, options?: Qwen3Options): Qwen3 {
  const weights = allParameters(model);
  const take = (path: string): Parameter => (weights.get(path) as Parameter).retain();
  return new Qwen3(weightsFrom(model.backend, take), { ...model.config, ...changed }, options);
}
