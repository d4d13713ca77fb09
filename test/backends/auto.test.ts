// Which backend opens without being named, and what is said of those passed over.
import type { Backend } from "qwen-blocks";
import { openBackend, type BackendName } from "qwen-blocks/auto";
import { afterEach, expect, test, vi } from "vitest";
import { fakeDevice } from "./fake-device.js";

/** Gives the page, or Node, a WebGPU of this kind. */
function stubGpu(requestAdapter: () => Promise<unknown>): void {
  vi.stubGlobal("navigator", { gpu: { requestAdapter, wgslLanguageFeatures: new Set() } });
}

function stubAdapter(info: object): readonly string[] {
  const { device, log } = fakeDevice();
  stubGpu(async () => ({ info, limits: device.limits, features: device.features, requestDevice: async () => device }));
  return log;
}

afterEach(() => vi.unstubAllGlobals());

async function nameOf(opened: { readonly backend: Backend }): Promise<string> {
  await opened.backend[Symbol.asyncDispose]();
  return opened.backend.name;
}

test("a GPU comes first", async () => {
  const log = stubAdapter({ vendor: "someone", isFallbackAdapter: false });
  const opened = await openBackend();
  expect(opened).toMatchObject({ passedOver: [], backend: { name: "webgpu", info: { adapter: "someone" } } });
  await opened.backend[Symbol.asyncDispose]();
  expect(log.at(-1)).toBe("destroy device");
});

test("an emulated one is passed over for that reason, and its device is closed", async () => {
  const log = stubAdapter({ isFallbackAdapter: true });
  const opened = await openBackend();
  expect(await nameOf(opened)).toBe("wasm");
  expect(opened.passedOver).toEqual([
    {
      name: "webgpu",
      reason:
        'webgpu: a GPU must compute, but the adapter is emulated on the CPU; openBackend({ prefer: "webgpu" }) takes it',
    },
  ]);
  expect(log.at(-1)).toBe("destroy device");
});

test("an emulated one opens where it is preferred", async () => {
  stubAdapter({ isFallbackAdapter: true });
  const opened = await openBackend({ prefer: "webgpu" });
  expect(await nameOf(opened)).toBe("webgpu");
  expect(opened.passedOver).toEqual([]);
});

test("without an adapter the reason is the error's message", async () => {
  stubGpu(async () => null);
  const opened = await openBackend();
  expect(await nameOf(opened)).toBe("wasm");
  expect(opened.passedOver.map(({ name }) => name)).toEqual(["webgpu"]);
  expect(opened.passedOver[0].reason).toContain("the system must have a GPU adapter");
});

test("the one that is preferred opens first", async () => {
  const opened = await openBackend({ prefer: "cpu" });
  expect(await nameOf(opened)).toBe("cpu");
  expect(opened.passedOver).toEqual([]);
});

test("a name that none has is an error which lists them", async () => {
  await expect(openBackend({ prefer: "metal" as BackendName })).rejects.toThrow(
    "openBackend: prefer must be one of webgpu, wasm, cpu, got metal",
  );
});
