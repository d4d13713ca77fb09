// What `observe` sees: kernel calls by op, and indices that kernels pass over in silence.
import { gatherRows, observe, tensor } from "qwen-blocks";
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
