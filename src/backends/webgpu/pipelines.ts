// Compiled shaders, one per text, and the layouts that they share: parameters in group 0, up to eight windows in group 1.
import type { Pipeline } from "./dispatch.js";
import { Fault } from "./fault.js";
import { COMPUTE, type Queue } from "./queue.js";
import { sourceOf, type Binding, type Shader } from "./shader.js";

/** Every device has so many storage buffers per shader. */
export const MAX_WINDOWS = 8;

export class Pipelines {
  readonly #queue: Queue;
  readonly #page: number;
  readonly #bySource = new Map<string, Pipeline>();
  readonly #byShader = new Map<Shader, Map<string, Pipeline>>();
  readonly #layouts = new Map<string, GPUBindGroupLayout>();

  /** @param page elements in the first piece of a window that is bound in two */
  constructor(queue: Queue, page: number) {
    this.#queue = queue;
    this.#page = page;
  }

  /** How many were compiled. */
  get count(): number {
    return this.#bySource.size;
  }

  /** @param access "r" and "w" per window */
  layout(access: string): GPUBindGroupLayout {
    let layout = this.#layouts.get(access);
    if (layout === undefined) {
      layout = this.#queue.device.createBindGroupLayout({
        entries: [...access].map((kind, binding) => ({
          binding,
          visibility: COMPUTE,
          buffer: { type: kind === "r" ? ("read-only-storage" as const) : ("storage" as const) },
        })),
      });
      this.#layouts.set(access, layout);
    }
    return layout;
  }

  /** The pipeline for a shader whose windows are bound like this. @param op whose call it is; errors name the first one */
  of(op: string, shader: Shader, bindings: readonly Binding[], access: string): Pipeline {
    let ways = this.#byShader.get(shader);
    if (ways === undefined) this.#byShader.set(shader, (ways = new Map<string, Pipeline>()));
    const key = bindings.map(({ paged, vectors }) => (paged ? 2 : 0) + (vectors ? 1 : 0)).join("");
    let found = ways.get(key);
    if (found === undefined) ways.set(key, (found = this.#compile(op, shader, bindings, access)));
    return found;
  }

  #compile(op: string, shader: Shader, bindings: readonly Binding[], access: string): Pipeline {
    const source = sourceOf(shader, bindings, this.#page);
    const known = this.#bySource.get(source);
    if (known !== undefined) return known;
    const { device } = this.#queue;
    const fault = new Fault();
    const { pipeline } = this.#queue.attempt(
      fault,
      op,
      () => {
        const module = device.createShaderModule({ label: shader.name, code: source });
        const layout = device.createPipelineLayout({
          bindGroupLayouts: [this.#queue.paramsLayout, this.layout(access)],
        });
        const pipeline = device.createComputePipeline({
          label: shader.name,
          layout,
          compute: { module, entryPoint: "main" },
        });
        return { pipeline, module };
      },
      ({ module }, said) => explain(shader.name, module, source, said),
    );
    const made: Pipeline = { pipeline, fault };
    this.#bySource.set(source, made);
    return made;
  }
}

/** What the compiler says, or the device where that found nothing, and the text with its lines numbered. */
async function explain(name: string, module: GPUShaderModule, source: string, said: string): Promise<string> {
  const { messages } = await module.getCompilationInfo();
  const found = messages.map(({ type, lineNum, linePos, message }) => `${type} at ${lineNum}:${linePos}: ${message}`);
  const numbered = source.split("\n").map((line, i) => `${String(i + 1).padStart(4)}  ${line}`);
  return `the shader ${name} must compile, but the device says:\n${found.join("\n") || said}\n${numbered.join("\n")}`;
}
