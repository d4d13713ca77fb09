// Who owns what: scope, keep, dispose and using, counted by the memory they leave behind.
import { add, keep, PackedTensor, reshape, scope, slice, tensor, zeros, type Backend, type Tensor } from "qwen-blocks";
import { cpu } from "qwen-blocks/cpu";
import fc from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";
import { schemes } from "../../src/quant/schemes/schemes.js";
import { expectNoLeak, numbers, usage } from "./numbers.js";

let backend: Backend;
beforeEach(async () => {
  backend = await cpu();
});
const make = (value = 1): Tensor => tensor(backend, [value, value + 1]);

describe("scope", () => {
  test("frees what it made and keeps what it returns", async () => {
    await expectNoLeak(backend, async () => {
      let inner: Tensor | undefined;
      const result = scope(() => {
        inner = make();
        return add(inner, inner);
      });
      expect(inner?.disposed).toBe(true);
      expect(usage(backend)).toEqual([1, 8]);
      expect(await numbers(result)).toEqual([2, 4]);
      result.dispose();
    });
  });

  const shapes: Record<string, (a: Tensor, b: Tensor) => unknown> = {
    array: (a, b) => [a, b],
    object: (a, b) => ({ a, b }),
    map: (a, b) => new Map([["a", a], ["b", b]]), // prettier-ignore
    set: (a, b) => new Set([a, b]),
    "nested, with other values between": (a, b) => ({ x: [new Map([[1, { a }]]), null, "text"], y: [[b]], n: 3 }),
    "the same handle twice": (a, b) => [a, b, a],
  };
  test.each(Object.entries(shapes))("tensors in a result survive: %s", async (_, wrap) => {
    await expectNoLeak(backend, () => {
      const made: Tensor[] = [];
      scope(() => {
        made.push(make(), make(), make());
        return wrap(made[0], made[1]) as object;
      });
      expect(made.map(({ disposed }) => disposed)).toEqual([false, false, true]);
      made[0].dispose();
      made[1].dispose();
    });
  });

  test("a packed tensor in a result survives with its parts, and one that is not returned is freed", async () => {
    await expectNoLeak(backend, () => {
      const pack = (): PackedTensor => {
        const parts = schemes.f16.encode(new Float32Array(4), [2, 2]).map((words) => tensor(backend, words));
        return new PackedTensor(schemes.f16, [2, 2], "plain", parts);
      };
      const result = scope(() => {
        pack();
        return { weight: pack() };
      });
      expect(result.weight.disposed).toBe(false);
      expect(usage(backend)[0]).toBe(result.weight.parts.length);
      result.weight.dispose();
    });
  });

  test("nested scopes hand survivors outwards, one level at a time", () => {
    const seen = scope(() => {
      const survivor = scope(() => {
        const gone = make();
        const inner = scope(() => make());
        return { gone: gone.id, kept: inner };
      });
      expect(usage(backend)[0]).toBe(1);
      expect(survivor.kept.disposed).toBe(false);
      return [survivor.kept];
    });
    expect(usage(backend)[0]).toBe(1);
    seen[0].dispose();
    expect(usage(backend)).toEqual([0, 0]);
  });

  test("a returned argument stays the caller's", () => {
    const x = make();
    scope(() => {
      const same = scope(() => x);
      expect(same).toBe(x);
    });
    expect(x.disposed).toBe(false);
  });

  test("keep takes a tensor out of every scope around it", () => {
    const kept = scope(() => scope(() => [keep(make())].length && make()) && undefined);
    expect(kept).toBeUndefined();
    expect(usage(backend)[0]).toBe(1);
    // Also one that an outer scope owns, kept from within an inner one.
    const outer = scope(() => {
      const made = make();
      scope(() => void keep(made));
      return { take: () => made };
    });
    expect(outer.take().disposed).toBe(false);
    expect(usage(backend)[0]).toBe(2);
  });

  test("an exception frees everything made in all open scopes, and the scopes around still work", async () => {
    await expectNoLeak(backend, () => {
      scope(() => {
        const before = make();
        expect(() =>
          scope(() => {
            make();
            scope(() => {
              make();
              throw new Error("stop");
            });
          }),
        ).toThrow("stop");
        expect(usage(backend)[0]).toBe(1);
        expect(before.disposed).toBe(false);
        make();
      });
    });
  });

  test("any program of scopes, keeps, returns and exceptions leaves exactly what it kept or returned", () => {
    type Program = { kind: "make" | "keep" | "throw" } | { kind: "scope"; body: Program[]; hand: boolean };
    const program = fc.letrec<{ body: Program[]; step: Program }>((tie) => ({
      body: fc.array(tie("step"), { maxLength: 4 }),
      step: fc.oneof(
        { depthSize: "small" },
        fc.record({ kind: fc.constantFrom("make" as const, "keep" as const, "throw" as const) }),
        fc.record({ kind: fc.constant("scope" as const), body: tie("body"), hand: fc.boolean() }),
      ),
    })).body;
    fc.assert(
      fc.property(program, (steps) => {
        const kept: Tensor[] = [];
        /** Runs a body; the tensors that it made or was handed and still owns. */
        const run = (body: readonly Program[]): Tensor[] =>
          body.flatMap((step): Tensor[] => {
            if (step.kind === "throw") throw new Error("drawn");
            if (step.kind === "scope") return scope(() => (step.hand ? run(step.body) : (run(step.body), [])));
            const made = make();
            if (step.kind === "make") return [made];
            kept.push(keep(made));
            return [];
          });
        const own: Tensor[] = [];
        try {
          own.push(...scope(() => run(steps)));
        } catch (error) {
          expect((error as Error).message).toBe("drawn");
        }
        expect(usage(backend)[0]).toBe(kept.length + own.length);
        for (const left of [...kept, ...own]) left.dispose();
        expect(usage(backend)).toEqual([0, 0]);
      }),
    );
  });
});

describe("handles", () => {
  test("dispose frees once, however often it is called", () => {
    const [x, y] = [make(), make()];
    x.dispose();
    x.dispose();
    expect(usage(backend)[0]).toBe(1);
    y.dispose();
    expect(usage(backend)).toEqual([0, 0]);
  });

  test("using disposes at the end of its block", () => {
    {
      using x = make();
      expect(x.disposed).toBe(false);
    }
    expect(usage(backend)).toEqual([0, 0]);
  });

  test("aliases share memory, which lives as long as one of them", async () => {
    const x = tensor(backend, [1, 2, 3, 4], [2, 2]);
    const row = slice(x, [1, 0], [1, 2]);
    const flat = reshape(row, [2]);
    expect(usage(backend)).toEqual([1, 16]);
    x.dispose();
    row.dispose();
    expect(await numbers(flat)).toEqual([3, 4]);
    flat.write(new Float32Array([7]), 1);
    expect(await numbers(flat)).toEqual([3, 7]);
    flat.dispose();
    expect(usage(backend)).toEqual([0, 0]);
  });

  test("two handles of one value are disposed each on their own", async () => {
    const x = make();
    const same = x.retain();
    expect(same.id).toBe(x.id);
    x.dispose();
    expect(await numbers(same)).toEqual([1, 2]);
    same.dispose();
    expect(usage(backend)).toEqual([0, 0]);
  });

  test("data() in flight survives a dispose", async () => {
    const x = make();
    const reading = x.data();
    x.dispose();
    expect([...(await reading)]).toEqual([1, 2]);
    expect(usage(backend)).toEqual([0, 0]);
  });

  test("an op with a number beside a tensor leaves nothing but its result", async () => {
    const x = make();
    await expectNoLeak(backend, () => {
      add(x, 1).dispose();
    });
  });

  test("an empty tensor is a tensor", async () => {
    const empty = zeros(backend, [0, 3]);
    expect(await numbers(empty)).toEqual([]);
    empty.dispose();
    expect(usage(backend)).toEqual([0, 0]);
  });
});
