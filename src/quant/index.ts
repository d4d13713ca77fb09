// The public names of `qwen-blocks/quant`: how numbers are stored in few bits.
export * from "./schemes/scheme.js";
export { fp4, nf4, type CodebookOptions } from "./schemes/codebook.js";
export type { Scales } from "./schemes/fit.js";
export { fp8, type Fp8Options } from "./schemes/fp8.js";
export {
  int4,
  int8,
  integers,
  type IntegerOptions,
  type IntegerScheme,
  type IntegersOptions,
} from "./schemes/integer.js";
export { mxfp4LeastSquares, mxfp4Parts } from "./schemes/mxfp4.js";
export { schemeNamed, schemes } from "./schemes/schemes.js";
export type { Where } from "./matrices.js";
export { packModel, type PackOptions } from "./pack-model.js";
export { dequantizeModel, repackModel, type DequantizeOptions, type RepackOptions } from "./repack-model.js";
export { fakeQuant, type GivenScales } from "./fake-quant.js";
export { FakeQuant, fakeQuantModel, type FakeQuantOptions } from "./fake-quant-model.js";
export { calibrate, type CalibrateOptions, type Reader } from "./calibrate.js";
