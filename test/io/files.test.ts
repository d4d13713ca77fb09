// Files on disk: ranges are read, and a write is seen whole or not at all.
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { fileSource, findFile, writeFileAtomic, writeFilesAtomic } from "../../src/io/files.js";
import { readExactly } from "../../src/io/source.js";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "qwen-blocks-"));
});
afterEach(async () => {
  vi.unstubAllGlobals();
  await rm(folder, { recursive: true });
});

const text = (bytes: string): Uint8Array => new TextEncoder().encode(bytes);
async function* pieces(...parts: (string | Error)[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) {
    if (part instanceof Error) throw part;
    yield text(part);
  }
}

test("writes, replaces, and leaves nothing else", async () => {
  const path = join(folder, "a.bin");
  await writeFileAtomic(path, text("old"));
  await writeFileAtomic(path, pieces("new", "", "er"));
  expect(await readFile(path, "utf8")).toBe("newer");
  expect(await readdir(folder)).toEqual(["a.bin"]);
});

test("a failure while writing keeps the old file and no temporary one", async () => {
  const path = join(folder, "a.bin");
  await writeFileAtomic(path, text("old"));
  await expect(writeFileAtomic(path, pieces("ne", new Error("disk on fire")))).rejects.toThrow("disk on fire");
  expect(await readFile(path, "utf8")).toBe("old");
  expect(await readdir(folder)).toEqual(["a.bin"]);
});

test("until the last byte is written, the old file is the file", async () => {
  const path = join(folder, "a.bin");
  await writeFileAtomic(path, text("old"));
  const seen: string[] = [];
  async function* watched(): AsyncGenerator<Uint8Array> {
    yield text("new");
    seen.push(await readFile(path, "utf8"), ...(await readdir(folder)).filter((name) => name.endsWith(".tmp")));
  }
  await writeFileAtomic(path, watched());
  expect(seen[0]).toBe("old");
  expect(seen[1]).toMatch(/^a\.bin\.\d+-\w+\.tmp$/);
  expect(await readFile(path, "utf8")).toBe("new");
});

test("a failure to take over the name, or to begin", async () => {
  const path = join(folder, "a");
  await mkdir(join(path, "inside"), { recursive: true });
  await expect(writeFileAtomic(path, text("x"))).rejects.toThrow(/EISDIR|ENOTEMPTY|EEXIST/);
  await expect(writeFileAtomic(join(folder, "none", "b"), text("x"))).rejects.toThrow("ENOENT");
  expect(await readdir(folder)).toEqual(["a"]);
});

test("of several files none is replaced before all are written", async () => {
  const [a, b] = [join(folder, "a"), join(folder, "b")];
  await writeFile(a, "old a");
  await writeFile(b, "old b");
  const files = [
    [a, text("new a")],
    [b, pieces(new Error("full"))],
  ] as const;
  await expect(writeFilesAtomic(files)).rejects.toThrow("full");
  expect(await readFile(a, "utf8")).toBe("old a");
  expect(await readdir(folder)).toEqual(["a", "b"]);
});

test("reads ranges and opens nothing in advance", async () => {
  const path = join(folder, "a.bin");
  await writeFile(path, "0123456789");
  const source = await fileSource(path);
  expect(source).toMatchObject({ name: path, byteLength: 10 });
  expect([...(await readExactly(source, 3, 6))]).toEqual([...text("345")]);
  expect((await readExactly(source, 10, 10)).length).toBe(0);
  await expect(readExactly(source, 3, 11)).rejects.toThrow("bytes 3 to 11 must lie within the file");
  expect(await findFile(join(folder, "none"))).toBeUndefined();
  await expect(fileSource(join(folder, "none"))).rejects.toThrow("ENOENT");
  await rm(path);
  await expect(source.read(0, 1)).rejects.toThrow("ENOENT");
});

test("where there are no files, the error says what to give instead", async () => {
  vi.stubGlobal("process", undefined);
  await expect(fileSource("a")).rejects.toThrow("where there are no files, give bytes, Blobs or URLs");
});
