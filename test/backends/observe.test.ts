// What `observe` sees: kernel calls by op, and indices that kernels pass over in silence.
import { add, gatherRows, observe, record, tensor, type Backend } from "qwen-blocks";
import { cpu } from "qwen-blocks/cpu";
import { expect, test } from "vitest";

test("counts calls by op and hands each command on", async () => {
  const commands: string[] = [];
  const backend = observe(await cpu(), { onCommand: ({ op }) => commands.push(op) });
  const table = tensor(backend, [1, 2, 3, 4], [2, 2]);
  gatherRows(table, tensor(backend, [0, 1], [2], "i32"));
  gatherRows(table, tensor(backend, [1], [1], "i32"));
  expect(backend.calls.get("gatherRows")?.count).toBe(2);
  expect(commands).toEqual(["gatherRows", "gatherRows"]);
  backend.reset();
  expect(backend.calls.size).toBe(0);
});

test("with check it names the op, the bound and the index that is out of range", async () => {
  const backend = observe(await cpu(), { check: true });
  const table = tensor(backend, [1, 2, 3, 4], [2, 2]);
  gatherRows(table, tensor(backend, [0, -1, 1], [3], "i32"));
  await backend.idle();
  expect(backend.problems).toEqual([]);
  const y = gatherRows(table, tensor(backend, [0, 2], [2], "i32"));
  await backend.idle();
  expect(backend.problems).toEqual(["gatherRows: indices must be 0 to 1 or -1, got 2 at element 1 of operand 1"]);
  expect([...(await y.data())]).toEqual([1, 2, 0, 0]);
});

test("a compiled replay runs as one and is counted by its commands; who wants to see each gets each", async () => {
  const plain = await cpu();
  let replays = 0;
  const compiling: Backend = {
    ...plain,
    compile: () => ({ run: () => void replays++, [Symbol.dispose]: () => undefined }),
  };
  const runs = (backend: Backend): void => {
    const x = tensor(backend, [1, 2]);
    using recording = record(backend, () => add(add(x, x), x));
    recording.run();
  };
  const counted = observe(compiling);
  runs(counted);
  expect([replays, counted.calls.get("binary")?.count]).toEqual([1, 4]);
  const commands: string[] = [];
  runs(observe(compiling, { onCommand: ({ op }) => commands.push(op) }));
  expect([replays, commands.length]).toEqual([1, 4]);
  runs(observe(plain));
  expect(replays).toBe(1);
});
