// The public names of `qwen-blocks/quant`: how numbers are stored in few bits.
export * from "./schemes/scheme.js";
export { schemeNamed, schemes } from "./schemes/schemes.js";
export { packModel, type PackOptions } from "./pack-model.js";
