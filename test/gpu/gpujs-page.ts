// Runs in a page of Chromium: the exported suite, and what else is asked of the gpujs backend on WebGL2.
import { add, fill } from "qwen-blocks";
import { gpujs, type GpuJsBackend, type GpuJsCounters } from "qwen-blocks/gpujs";
import { opened } from "../browser/suite.js";
import { losses, pass } from "./gpujs-training.js";

export * from "../browser/suite.js";

/** Of the backend that the suite runs on. */
export function counters(): GpuJsCounters & { readonly declined: string } {
  const backend = opened() as GpuJsBackend;
  return { ...backend.counters(), declined: String(backend.info.declined) };
}

export async function passHere(): Promise<Readonly<Record<string, readonly number[]>>> {
  await using backend = await gpujs();
  return await pass(backend, async (y) => [...(await y.data())]);
}

/** Textures that the page has, told after each step, and then what the backend holds when all is disposed of. */
export async function trainHere(steps: number): Promise<{
  readonly losses: readonly number[];
  readonly textures: readonly number[];
  readonly left: {
    readonly buffers: number;
    readonly bytes: number;
    readonly scratch: number;
    readonly textures: number;
  };
}> {
  const { createTexture, deleteTexture } = WebGL2RenderingContext.prototype;
  let living = 0;
  WebGL2RenderingContext.prototype.createTexture = function () {
    living++;
    return createTexture.call(this);
  };
  WebGL2RenderingContext.prototype.deleteTexture = function (texture) {
    living--;
    deleteTexture.call(this, texture);
  };
  await using backend = await gpujs();
  const textures: number[] = [];
  const found = await losses(backend, steps, () => textures.push(living));
  const left = { ...backend.memory.usage(), textures: backend.counters().textures };
  Object.assign(WebGL2RenderingContext.prototype, { createTexture, deleteTexture });
  return { losses: found, textures, left };
}

/** Lets WebGL2 say, in this page from now on, that textures have at most so many texels per side. gpu.js then refuses larger ones. */
export function limitTextures(side: number): void {
  const { getParameter } = WebGL2RenderingContext.prototype;
  WebGL2RenderingContext.prototype.getParameter = function (name: number): unknown {
    return name === this.MAX_TEXTURE_SIZE ? side : getParameter.call(this, name);
  };
}

/** Sums of matrices up to n columns wide, with what ran. */
export async function sums(
  n: number,
): Promise<{ readonly wrong: number; readonly runs: number; readonly declined: string }> {
  await using backend = await gpujs();
  let wrong = 0;
  for (let width = 1; width <= n; width += 7) {
    const y = add(fill(backend, [n, width], 0, { step: 1 }), fill(backend, [n, 1], 2));
    (await y.data()).forEach((value, i) => (wrong += Number(value !== (i % width) + 2)));
  }
  return { wrong, runs: backend.counters().runs, declined: String(backend.info.declined) };
}

/** What a read says after the context is lost. */
export async function readAfterLoss(): Promise<string> {
  const made: WebGL2RenderingContext[] = [];
  const { getContext } = OffscreenCanvas.prototype;
  OffscreenCanvas.prototype.getContext = function (this: OffscreenCanvas, ...args: unknown[]) {
    const context = getContext.apply(this, args as never) as unknown as WebGL2RenderingContext;
    made.push(context);
    return context;
  } as typeof getContext;
  const backend = await gpujs();
  OffscreenCanvas.prototype.getContext = getContext;
  const y = add(fill(backend, [4], 1), 1);
  made.at(-1)?.getExtension("WEBGL_lose_context")?.loseContext();
  return y.data().then(String, (error: unknown) => `${(error as Error).name}: ${(error as Error).message}`);
}
