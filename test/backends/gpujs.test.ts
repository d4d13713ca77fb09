// The gpujs backend without gpu.js: what it says where the package is missing, and where what runs is not what was opened.
import { add, BackendError, tensor } from "qwen-blocks";
import { gpujs } from "qwen-blocks/gpujs";
import { expect, test } from "vitest";

/** Stands for gpu.js; its kernels run in the mode given, and every element they make is 0. */
function pretending(mode: string): object {
  return class {
    createKernel(): object {
      const kernel = () => [[new Float32Array(3)]];
      class Constructor {
        static readonly mode = mode;
        readonly fallbackReason = "of a test";
      }
      return Object.assign(kernel, { kernel: new Constructor(), setOutput: () => {} });
    }
    async destroy(): Promise<void> {}
  };
}

test("the missing package is a named error that says what to install", async () => {
  await expect(gpujs()).rejects.toThrow(BackendError);
  await expect(gpujs()).rejects.toThrow(/"gpu.js" must be installed.*npm install gpu\.js$/);
});

test("a class of the caller's is taken", async () => {
  await using backend = await gpujs({ GPU: pretending("cpu") });
  expect(await add(tensor(backend, [1, 2, 3]), 1).data()).toEqual(new Float32Array(3));
});

test("another mode than the one that was opened is an error with gpu.js's reason", async () => {
  await using backend = await gpujs({ GPU: pretending("gpu") });
  const x = tensor(backend, [1, 2, 3]);
  expect(() => add(x, 1)).toThrow(
    new BackendError("gpujs: add must run in mode cpu, but gpu.js fell back to gpu (of a test)"),
  );
});

test("says which op runs where", async () => {
  await using backend = await gpujs({ GPU: pretending("cpu") });
  const { native, host } = backend.info;
  const [onGpu, onHost] = [String(native).split(" "), String(host).split(" ")];
  expect(onGpu.length).toBeLessThanOrEqual(12);
  expect([...onGpu, ...onHost].sort()).toEqual(Object.keys(backend.kernels).sort());
  add(tensor(backend, Int32Array.of(1)), tensor(backend, Int32Array.of(2)));
  expect(backend.info.declined).toBe("binary (integers)");
});
