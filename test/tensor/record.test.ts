// A recorded step gives the bits of the step itself, for whatever was written into its inputs, and owns its memory until it is disposed.
import {
  adamW,
  add,
  crossEntropy,
  DisposedError,
  fill,
  linear,
  mean,
  mul,
  record,
  RecordingError,
  reshape,
  rmsNorm,
  scope,
  softmax,
  swiglu,
  tensor,
  topK,
  valueAndGrad,
  zeros,
  type Backend,
  type Tensor,
} from "qwen-blocks";
import { cpu } from "qwen-blocks/cpu";
import { beforeEach, describe, expect, test } from "vitest";
import { bits, expectNoLeak, ints, normal, normals, numbers, usage } from "./numbers.js";

let backend: Backend;
beforeEach(async () => {
  backend = await cpu();
});

/** Means of carrying an op out: kernels of its own, or its composite out of primitives. */
const means: Record<string, () => Backend> = {
  native: () => backend,
  composed: () => {
    const { linear, rmsNorm, softmax, swiglu, adamW, crossEntropy, ...kernels } = backend.kernels;
    expect([linear, rmsNorm, softmax, swiglu, adamW, crossEntropy]).not.toContain(undefined);
    return { ...backend, kernels };
  },
};

describe("replay", () => {
  test.each(Object.entries(means))("gives the bits of the eager step for changed inputs: %s", async (_, of) => {
    const b = of();
    const [w, g] = [normal(b, 1, [8, 6]), normal(b, 2, [6])];
    const x = normal(b, 3, [2, 6]);
    const step = (): { y: Tensor; best: Tensor } => {
      const y = softmax(swiglu(linear(rmsNorm(x, g, 1e-6), w)));
      return { y, best: topK(add(y, fill(b, [4], 0, { step: 0.25 })), 2).indices };
    };
    const recording = record(b, step);
    for (let seed = 10; seed < 14; seed++) {
      x.write(Float32Array.from(normals(seed, 12)));
      recording.run();
      const eager = scope(step);
      expect(await bits(recording.result.y)).toEqual(await bits(eager.y));
      expect(await bits(recording.result.best)).toEqual(await bits(eager.best));
    }
  });

  test.each(Object.entries(means))("a whole training step replays bit for bit: %s", async (_, of) => {
    const b = of();
    const targets = ints(b, [1, 0, 3]);
    const batches = [1, 2, 3, 4].map((seed) => Float32Array.from(normals(seed, 15)));
    const make = () => {
      const param = normal(b, 9, [4, 5]);
      return { param, m: zeros(b, [4, 5]), v: zeros(b, [4, 5]), x: zeros(b, [3, 5]), hyper: zeros(b, [4]) };
    };
    const step = ({ param, m, v, x, hyper }: ReturnType<typeof make>): Tensor =>
      scope(() => {
        const loss = (): Tensor => reshape(mean(crossEntropy(linear(x, param), targets)), []);
        const { value, grads } = valueAndGrad(new Map([["param", param]]), loss);
        const options = { beta1: 0.9, beta2: 0.99, eps: 1e-8, decay: 0.1 };
        adamW(grads.get("param") as Tensor, hyper, param, m, v, options);
        return value;
      });
    const write = ({ x, hyper }: ReturnType<typeof make>, i: number): void => {
      x.write(batches[i]);
      hyper.write(Float32Array.of(0.1 / (i + 1), 1 - 0.9 ** (i + 1), 1 - 0.99 ** (i + 1), 1));
    };
    const [eager, replayed] = [make(), make()];
    write(replayed, 0);
    const recording = record(b, () => step(replayed));
    for (let i = 0; i < batches.length; i++) {
      write(eager, i);
      const loss = step(eager);
      if (i > 0) {
        write(replayed, i);
        recording.run();
      }
      expect(await bits(recording.result)).toEqual(await bits(loss));
      for (const name of ["param", "m", "v"] as const)
        expect(await bits(replayed[name])).toEqual(await bits(eager[name]));
    }
  });

  test("commands are kernel calls with plain views", () => {
    const x = normal(backend, 1, [3]);
    const recording = record(backend, () => mul(add(x, x), x));
    expect(recording.commands.map(({ op, attrs }) => [op, attrs])).toEqual([
      ["binary", { op: "add" }],
      ["binary", { op: "mul" }],
    ]);
    expect(recording.commands[0].inputs).toEqual([x.view, x.view]);
  });

  test("a backend that compiles gets the commands, and run goes through what it made", () => {
    const x = normal(backend, 1, [3]);
    const log: string[] = [];
    const compiling: Backend = {
      ...backend,
      compile: (commands) => ({
        run: () => void log.push(`run ${commands.map(({ op }) => op).join()}`),
        [Symbol.dispose]: () => void log.push("dispose"),
      }),
    };
    const recording = record(compiling, () => add(x, x));
    recording.run();
    recording.dispose();
    recording.dispose();
    expect(log).toEqual(["run binary", "dispose"]);
  });
});

describe("the host inside a recorded region", () => {
  const writes: Record<string, (x: Tensor) => unknown> = {
    write: (x) => x.write(new Float32Array(1)),
    "tensor()": () => tensor(backend, [1]),
    record: () => record(backend, () => zeros(backend, [1])),
  };
  test.each(Object.entries(writes))("%s is a RecordingError, and nothing stays behind", async (_, use) => {
    const x = normal(backend, 1, [2]);
    const before = await numbers(x);
    await expectNoLeak(backend, () => {
      let caught: unknown;
      try {
        record(backend, () => (add(x, x), use(x), add(x, x)));
      } catch (error) {
        caught = error;
      }
      expect(caught).toBeInstanceOf(RecordingError);
      expect(caught).toMatchObject({ code: "RECORDING" });
    });
    expect(await numbers(x)).toEqual(before);
    x.write(new Float32Array(1)); // the region is over
  });

  test("data() rejects with a RecordingError", async () => {
    const x = normal(backend, 1, [2]);
    let reading: Promise<unknown> | undefined;
    record(backend, () => {
      reading = x.data();
      void reading.catch(() => undefined);
      return add(x, x);
    });
    await expect(reading).rejects.toMatchObject({ code: "RECORDING" });
  });
});

describe("memory of a recording", () => {
  test("what was made inside is nobody else's while it lives", async () => {
    const x = tensor(backend, [1, 2, 3, 4]);
    const recording = record(backend, () => mul(add(x, x), add(x, x)));
    // Had the two sums gone back to the pool, these of the same size would get their memory.
    const others = [1, 2, 3, 4, 5].map((value) => fill(backend, [4], value));
    x.write(new Float32Array([2, 2, 2, 2]));
    recording.run();
    expect(await numbers(recording.result)).toEqual([16, 16, 16, 16]);
    for (const [i, other] of others.entries()) expect(await numbers(other)).toEqual(Array(4).fill(i + 1));
  });

  test("dispose frees all of it, the result included", async () => {
    const x = normal(backend, 1, [4]);
    await expectNoLeak(backend, () => {
      const recording = record(backend, () => ({ y: mul(add(x, x), x) }));
      expect(usage(backend)[0]).toBe(3);
      recording.dispose();
    });
  });

  test("a result disposed before its recording does no harm, either way round", async () => {
    const x = tensor(backend, [1, 2]);
    await expectNoLeak(backend, () => {
      const recording = scope(() => {
        const made = record(backend, () => add(x, x));
        return { run: () => made.run(), dispose: () => made.dispose() };
      });
      recording.run(); // the scope has freed the result's handle; the memory is the recording's
      recording.dispose();
    });
  });

  test("run after dispose is a DisposedError", () => {
    const x = normal(backend, 1, [2]);
    const recording = record(backend, () => add(x, x));
    recording.dispose();
    expect(() => recording.run()).toThrow(DisposedError);
  });

  test("an exception inside frees everything and ends the region", async () => {
    const x = normal(backend, 1, [2]);
    await expectNoLeak(backend, () => {
      const failing = (): never => {
        add(x, x);
        throw new Error("stop");
      };
      expect(() => record(backend, failing)).toThrow("stop");
    });
    expect(await numbers(tensor(backend, [1]))).toEqual([1]);
  });
});
