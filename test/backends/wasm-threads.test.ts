// Threads of the wasm backend change no bit, never keep a process alive, and end with the backend.
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { resolve } from "node:path";
import { promisify } from "node:util";
import { BackendError, Random, linear, matmul, randn, scope, type Backend, type Tensor } from "qwen-blocks";
import { wasm } from "qwen-blocks/wasm";
import { expect, test } from "vitest";

/** Products of sizes that are cut into many tiles, with every kind of edge. */
function products(backend: Backend): Tensor[] {
  const random = new Random(7);
  return scope(() =>
    [
      [65, 130, 33],
      [1, 1000, 2050],
      [17, 3, 4099],
      [200, 700, 1031],
      [513, 64, 7],
    ].flatMap(([rows, k, columns]) => {
      const x = randn(backend, [rows, k], random);
      const w = randn(backend, [columns, k], random);
      return [matmul(x, w, { transposeB: true }), linear(x, w), matmul(w, x, { transposeB: true })];
    }),
  );
}

test("two, three and five threads give the bits of one", async () => {
  const bits = async (threads: number): Promise<string[]> => {
    await using backend = await wasm({ threads });
    const all = await Promise.all(products(backend).map((t) => t.data()));
    return all.map(({ buffer }) => createHash("sha256").update(new Uint8Array(buffer)).digest("hex"));
  };
  const expected = await bits(1);
  for (const threads of [2, 3, 5]) expect(await bits(threads)).toEqual(expected);
});

const script = (text: string): Promise<{ stdout: string }> =>
  promisify(execFile)(process.execPath, ["--import", "tsx", "--input-type=module", "-e", text], {
    cwd: resolve(import.meta.dirname, "../.."),
    timeout: 30_000,
  });

test("a script that forgets to close the backend still ends by itself", async () => {
  const { stdout } = await script(
    `import { wasm } from "qwen-blocks/wasm"; const b = await wasm({ threads: 3 }); console.log(b.info.threads);`,
  );
  expect(stdout.trim()).toBe("3");
});

test("closing ends the workers: as many backends in a row as one likes", async () => {
  for (let i = 0; i < 20; i++) {
    const backend = await wasm({ threads: 2 });
    await backend[Symbol.asyncDispose]();
  }
});

test("a number of threads that makes no sense is refused", async () => {
  await expect(wasm({ threads: 0 })).rejects.toThrow(BackendError);
  await expect(wasm({ threads: 1.5 })).rejects.toThrow("wasm: threads must be an integer from 1 to 64, got 1.5");
});
