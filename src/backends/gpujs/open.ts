// Finds gpu.js and a context for it. gpu.js takes JavaScript by itself where WebGL2 is missing; here that is an error, so nobody computes on
// another device than they think.
import { BackendError } from "../../core/errors.js";
import type { Gpu, GpuClass } from "./gpu-js.js";

export type Mode = "webgl2" | "cpu";

export interface OpenGpu {
  readonly gpu: Gpu;
  readonly mode: Mode;
  /** None where JavaScript computes. */
  readonly context: WebGL2RenderingContext | undefined;
  /** The largest texture side; no limit where JavaScript computes. */
  readonly maxTextureSize: number;
  readonly adapter: string;
}

/** @throws BackendError where the package is missing, or a page has no WebGL2 that computes in floats */
export async function openGpu(given: GpuClass | undefined): Promise<OpenGpu> {
  const Gpu = given ?? (await loadGpuJs());
  if (inNode()) {
    const gpu = new Gpu({ mode: "cpu" });
    return { gpu, mode: "cpu", context: undefined, maxTextureSize: Infinity, adapter: "JavaScript" };
  }
  const canvas = typeof OffscreenCanvas === "undefined" ? document.createElement("canvas") : new OffscreenCanvas(1, 1);
  const context = canvas.getContext("webgl2", { alpha: false, depth: false, antialias: false });
  if (!(context instanceof WebGL2RenderingContext)) {
    throw new BackendError("gpujs: the browser must have WebGL2, got none; use another backend");
  }
  if (context.getExtension("EXT_color_buffer_float") === null) {
    throw new BackendError(
      "gpujs: WebGL2 must be able to write floats (EXT_color_buffer_float), but this device is not; use another backend",
    );
  }
  return {
    gpu: new Gpu({ mode: "webgl2", canvas, context }),
    mode: "webgl2",
    context,
    maxTextureSize: context.getParameter(context.MAX_TEXTURE_SIZE) as number,
    adapter: adapterOf(context),
  };
}

/** The package is the class itself where bundlers take its build for browsers, and holds the class in Node. */
interface Package {
  readonly GPU?: GpuClass;
  readonly default?: GpuClass & { readonly GPU?: GpuClass };
}

async function loadGpuJs(): Promise<GpuClass> {
  let found: Package;
  try {
    // A name that bundlers can read: they include the package for those who import this backend, and for nobody else. `satisfies` leaves no
    // trace, but the compiler then asks for no types of a package that may be absent.
    found = (await import("gpu.js" satisfies string)) as Package;
  } catch (cause) {
    throw new BackendError(
      `gpujs: the package "gpu.js" must be installed, but it could not be loaded (${(cause as Error).message}); npm install gpu.js`,
      { cause },
    );
  }
  const Gpu = found.GPU ?? found.default?.GPU ?? found.default;
  if (Gpu !== undefined) return Gpu;
  throw new BackendError(
    'gpujs: the package "gpu.js" must export GPU, got none; npm install gpu.js, or pass gpujs({ GPU })',
  );
}

const inNode = (): boolean =>
  (globalThis as { process?: { versions?: { node?: string } } }).process?.versions?.node !== undefined;

function adapterOf(context: WebGL2RenderingContext): string {
  const names = context.getExtension("WEBGL_debug_renderer_info");
  return String(context.getParameter(names === null ? context.RENDERER : names.UNMASKED_RENDERER_WEBGL));
}
