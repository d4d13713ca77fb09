// Runs programs of gpu.js on windows of this backend's memory: on textures, or on typed arrays where JavaScript computes.
import { BackendError, DeviceLostError, OutOfMemoryError } from "../../core/errors.js";
import type { View } from "../../core/view.js";
import { floats } from "../cpu/read.js";
import { turn } from "../turn.js";
import type { Argument, Compiled, Result, Texture } from "./gpu-js.js";
import type { GpuJsMemory } from "./memory.js";
import type { OpenGpu } from "./open.js";
import { argumentTypesOf, sourceOf, type Program } from "./program.js";

/** How many threads a program has along its `this.thread.x`, `.y` and `.z`. Where two axes do, x and z are taken: x and y would be a texture's sides. */
export type Extents = readonly [x: number, y: number, z: number];

/** gpu.js ends loops at 1,000 unless told. */
const MAX_ITERATIONS = 2 ** 30;

const body = "return x[xAt + this.thread.x];";
const uploading: Program = { name: "upload", reads: ["x"], numbers: {}, body };
const downloading: Program = { name: "download", reads: ["x"], numbers: {}, body };

export class Engine {
  readonly memory: GpuJsMemory;
  readonly #open: OpenGpu;
  readonly #compiled = new Map<Program, Compiled>();
  readonly counters = { runs: 0, uploads: 0, downloads: 0 };

  constructor(open: OpenGpu, memory: GpuJsMemory) {
    this.#open = open;
    this.memory = memory;
    memory.transfer = {
      upload: (numbers) => {
        this.counters.uploads++;
        return this.#call(uploading, "Array", true, [numbers.length, 1, 1], [numbers, 0]) as Texture;
      },
      download: (texture, length) => {
        this.counters.downloads++;
        const numbers = this.#call(downloading, "ArrayTexture(1)", false, [length], [texture, 0]) as Float32Array;
        this.#expectContext();
        this.#expectMemory();
        return numbers;
      },
    };
  }

  get programs(): number {
    return this.#compiled.size;
  }

  /** Waits without keeping the page from going on. */
  async idle(): Promise<void> {
    const { context } = this.#open;
    const fence = context?.fenceSync(context.SYNC_GPU_COMMANDS_COMPLETE, 0) ?? null;
    if (context === undefined || fence === null) return;
    context.flush();
    while (context.clientWaitSync(fence, 0, 0) === context.TIMEOUT_EXPIRED) await turn();
    context.deleteSync(fence);
  }

  /** A lost context reads as zeros. */
  #expectContext(): void {
    if (this.#open.context?.isContextLost() !== true) return;
    throw new DeviceLostError("gpujs: the WebGL2 context must be alive, got a lost one; open another backend");
  }

  /** So does a texture that found no memory. */
  #expectMemory(): void {
    const { context } = this.#open;
    if (context === undefined) return;
    for (let error = context.getError(); error !== context.NO_ERROR; error = context.getError()) {
      if (error !== context.OUT_OF_MEMORY) continue;
      throw new OutOfMemoryError("gpujs: textures must fit into the GPU's memory, got more; use smaller tensors");
    }
  }

  /** Why a call with these operands cannot run as textures; nothing where it can. */
  obstacle(...views: readonly View[]): string | undefined {
    const { maxTextureSize } = this.#open;
    // gpu.js makes its textures nearly square, up to two texels off.
    const most = (maxTextureSize - 2) ** 2 * 4;
    if (views.some(({ shape }) => shape.includes(0))) return "no elements";
    if (views.some(({ storage }) => storage.byteLength > most)) return `larger than a texture of ${maxTextureSize}²`;
    return undefined;
  }

  /** y = what the program returns for each thread, x fastest. @param numbers in the program's order */
  run(program: Program, extents: Extents, reads: readonly View[], numbers: readonly number[], y: View): void {
    this.counters.runs++;
    if (this.#open.mode === "cpu") {
      const operands = reads.flatMap((view) => [this.memory.numbersOf(view), view.offset]);
      const planes = this.#call(program, "Array", false, extents, [...operands, ...numbers]) as Float32Array[][];
      const to = floats(this.memory.writable(y));
      planes.flat().forEach((row, i) => to.set(row, i * extents[0]));
    } else {
      const operands = reads.flatMap((view) => [this.memory.textureOf(view), view.offset]);
      const texture = this.#call(program, "ArrayTexture(1)", true, extents, [...operands, ...numbers]) as Texture;
      this.memory.store(y, texture);
    }
  }

  /** @param array how gpu.js calls the type of operands @param stays whether the result is a texture */
  #call(
    program: Program,
    array: string,
    stays: boolean,
    extents: readonly number[],
    args: readonly Argument[],
  ): Result {
    this.#expectContext();
    const kernel = this.#compiled.get(program) ?? this.#compile(program, array, stays, extents);
    // Even where they are the same: only then the result is a texture of its own. Given its own last result as an operand, gpu.js may
    // otherwise write into an older texture of another size.
    kernel.setOutput(extents);
    const result = kernel(...args);
    const { constructor, fallbackReason } = kernel.kernel;
    if ((constructor.mode === "cpu") === (this.#open.mode === "cpu")) return result;
    throw new BackendError(
      `gpujs: ${program.name} must run in mode ${this.#open.mode}, but gpu.js fell back to ${constructor.mode} (${fallbackReason ?? "no reason given"})`,
    );
  }

  #compile(program: Program, array: string, stays: boolean, extents: readonly number[]): Compiled {
    const kernel = this.#open.gpu.createKernel(sourceOf(program), {
      output: extents,
      argumentTypes: argumentTypesOf(program, array),
      dynamicOutput: true,
      dynamicArguments: true,
      strictIntegers: true,
      precision: "single",
      tactic: "precision", // else small textures are read at a lower precision
      fixIntegerDivisionAccuracy: false, // it guards quotients that should be whole, which no program relies on
      loopMaxIterations: MAX_ITERATIONS,
      pipeline: stays,
      immutable: stays,
    });
    this.#compiled.set(program, kernel);
    return kernel;
  }
}
