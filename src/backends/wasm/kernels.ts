// All kernels of the wasm backend, by the name of their op.
import type { Kernels } from "../backend.js";
import type { Engine } from "./engine.js";
import { combineExperts } from "./kernels/combine-experts.js";
import { expertLinear } from "./kernels/expert-linear.js";
import { expertLinearGrad } from "./kernels/expert-linear-grad.js";
import { expertMlp } from "./kernels/expert-mlp.js";
import { groupByExpert } from "./kernels/group-by-expert.js";
import { matmul } from "./kernels/matmul.js";
import { route } from "./kernels/route.js";
import { borrowed } from "./borrowed.js";

export function kernelsOf(engine: Engine): Kernels {
  return {
    ...borrowed(engine),
    matmul: matmul(engine),
    route: route(engine),
    groupByExpert: groupByExpert(engine),
    expertLinear: expertLinear(engine),
    combineExperts: combineExperts(engine),
    expertMlp: expertMlp(engine),
    expertLinearGrad: expertLinearGrad(engine),
  };
}
