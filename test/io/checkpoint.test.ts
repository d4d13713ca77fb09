// Opening checkpoints: one file, shards with an index, folders, addresses, and every way in which these can disagree.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CheckpointError, FormatError } from "../../src/core/errors.js";
import { openCheckpoint, readTensor } from "../../src/io/checkpoint.js";
import { urlSource } from "../../src/io/url-source.js";
import { countingFile } from "./file-building.js";

const json = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
const index = (weight_map: unknown): Uint8Array => json({ metadata: { total_size: 4 }, weight_map });
const INDEX = "model.safetensors.index.json";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "qwen-blocks-"));
});
afterAll(() => rm(folder, { recursive: true }));

describe("shards", () => {
  const first = countingFile({ a: [1], b: [2] });
  const second = countingFile({ c: [1] }, 7);

  test("are one checkpoint", async () => {
    const files = {
      [INDEX]: index({ a: "1.safetensors", b: "1.safetensors", c: "2.safetensors" }),
      "1.safetensors": first,
      "2.safetensors": new Blob([second]),
      "config.json": json({ hidden_size: 3 }),
    };
    const checkpoint = await openCheckpoint(files);
    expect([...checkpoint.tensors.keys()]).toEqual(["a", "b", "c"]);
    expect([...(await readTensor(checkpoint, "b"))]).toEqual([1, 2]);
    expect([...(await readTensor(checkpoint, "c"))]).toEqual([7]);
    expect(checkpoint.tensors.get("c")!.source.name).toBe("2.safetensors");
    expect(checkpoint.config).toEqual({ hidden_size: 3 });
    await expect(readTensor(checkpoint, "d")).rejects.toThrow(CheckpointError);
  });

  test("a tensor that the index forgot is there, for strict loading to complain", async () => {
    const checkpoint = await openCheckpoint({ [INDEX]: index({ a: "1" }), "1": first });
    expect([...checkpoint.tensors.keys()]).toEqual(["a", "b"]);
  });

  const bad = (weightMap: unknown): Record<string, Uint8Array> => ({
    [INDEX]: index(weightMap),
    "1": first,
    "2": countingFile({ a: [1] }),
  });
  test.each<[string, Record<string, Uint8Array>, string, typeof CheckpointError | typeof FormatError]>([
    ["missing shard", bad({ a: "3" }), 'names a shard "3" that is missing', CheckpointError],
    ["tensor not in its shard", bad({ c: "1" }), 'places tensor "c" in "1", which does not hold it', CheckpointError],
    [
      "tensor in two shards",
      bad({ b: "1", a: "2" }),
      'tensor "a" must be in one shard, got it in 1 and 2',
      CheckpointError,
    ],
    ["no map", bad([]), `${INDEX}: weight_map must be an object, got []`, FormatError],
    ["no text", bad({ a: 1 }), 'weight_map "a" must be the name of a file beside it, got 1', FormatError],
    ["a path upwards", bad({ a: "../1" }), 'got "../1"', FormatError],
    ["the folder above", bad({ a: ".." }), 'got ".."', FormatError],
    ["an absolute path", bad({ a: "/etc/passwd" }), 'got "/etc/passwd"', FormatError],
    ["a path of Windows", bad({ a: "c:x" }), 'got "c:x"', FormatError],
    [
      "a name twice",
      { [INDEX]: new TextEncoder().encode('{"weight_map":{"a":"1","a":"2"}}') },
      '"a" twice',
      FormatError,
    ],
    ["index no JSON", { [INDEX]: new TextEncoder().encode("{") }, `${INDEX}: must be JSON`, FormatError],
    ["index no object", { [INDEX]: json(null) }, "weight_map must be an object, got nothing", FormatError],
    [
      "nothing",
      { "config.json": json({}) },
      "must hold model.safetensors or model.safetensors.index.json",
      CheckpointError,
    ],
    [
      "config no JSON",
      { "config.json": json([]).subarray(1), "model.safetensors": first },
      "config.json: must be JSON",
      FormatError,
    ],
    ["a bad shard", { [INDEX]: index({ a: "1" }), "1": first.subarray(1) }, "1: header length", FormatError],
  ])("%s", async (_, files, message, type) => {
    const opening = openCheckpoint(files);
    await expect(opening).rejects.toThrow(message);
    await expect(opening).rejects.toBeInstanceOf(type);
  });
});

describe("folders and files", () => {
  test("a folder, a file in it, and nothing", async () => {
    await writeFile(join(folder, "model.safetensors"), countingFile({ a: [2] }));
    await writeFile(join(folder, "config.json"), '{"model_type":"qwen3"}');
    const whole = await openCheckpoint(folder);
    expect(whole).toMatchObject({ name: folder, config: { model_type: "qwen3" } });
    expect([...(await readTensor(whole, "a"))]).toEqual([0, 1]);
    const single = await openCheckpoint(join(folder, "model.safetensors"));
    expect([...(await readTensor(single, "a"))]).toEqual([0, 1]);
    expect(single.config).toBeUndefined();
    await expect(openCheckpoint(join(folder, "none"))).rejects.toThrow(CheckpointError);
  });

  test("a file that changes after it was opened is not read by an old header", async () => {
    const path = join(folder, "changing.safetensors");
    await writeFile(path, countingFile({ a: [2] }));
    const open = await openCheckpoint(path);
    await writeFile(path, countingFile({ b: [1], a: [2] }));
    await expect(readTensor(open, "a")).rejects.toThrow("must not change while it is read");
  });
});

describe("addresses", () => {
  const files: Record<string, Uint8Array> = {
    "/m/model.safetensors": countingFile({ a: [3], b: [1] }),
    "/m/config.json": json({ x: 1 }),
    "/old/model.safetensors": countingFile({ a: [3] }),
  };
  const log: string[] = [];
  let server: Server;
  let origin: string;

  function answer(request: IncomingMessage, response: ServerResponse): void {
    const { url = "", method = "" } = request;
    const file = files[url];
    log.push(`${method} ${request.headers.range ?? ""}`);
    if (url.startsWith("/secret/")) return void response.writeHead(403).end();
    if (file === undefined) return void response.writeHead(404).end();
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "") ?? [];
    if (from === undefined || url.startsWith("/old/")) return void response.writeHead(200).end(file);
    const range = `bytes ${from}-${to}/${file.length}`;
    response.writeHead(206, { "content-range": range }).end(file.subarray(Number(from), Number(to) + 1));
  }
  beforeAll(async () => {
    server = createServer(answer);
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(() => void server.close());

  test("a folder is read in ranges", async () => {
    for (const at of [`${origin}/m`, new URL(`${origin}/m/`)]) {
      const checkpoint = await openCheckpoint(at);
      expect(checkpoint.config).toEqual({ x: 1 });
      log.length = 0;
      expect([...(await readTensor(checkpoint, "a"))]).toEqual([0, 1, 2]);
      const { begin, end } = checkpoint.tensors.get("a")!;
      expect(log).toEqual([`GET bytes=${begin}-${end - 1}`]);
    }
  });

  test("a file, also from a server without ranges", async () => {
    for (const at of ["/m/model.safetensors", "/old/model.safetensors"]) {
      expect([...(await readTensor(await openCheckpoint(origin + at), "a"))]).toEqual([0, 1, 2]);
    }
  });

  test("what is not there, or not allowed", async () => {
    await expect(openCheckpoint(`${origin}/none`)).rejects.toThrow("must hold model.safetensors");
    await expect(openCheckpoint(`${origin}/none.safetensors`)).rejects.toThrow("HTTP status 404");
    await expect(urlSource(`${origin}/none`)).rejects.toThrow(CheckpointError);
    await expect(openCheckpoint(`${origin}/secret/a.safetensors`)).rejects.toThrow("must get HTTP status 206, got 403");
  });

  test("a server that hides the length, and one that changes the file", async () => {
    const file = countingFile({ a: [1] });
    const part = (tag: string): Response => new Response(file.slice(0, 1), { status: 206, headers: { etag: tag } });
    const hidden = await urlSource("x:", {
      fetch: async (_, { method }) =>
        method === "HEAD" ? new Response(null, { headers: { "content-length": "80" } }) : part("1"),
    });
    expect(hidden.byteLength).toBe(80);
    await expect(urlSource("x:", { fetch: async () => part("1") })).rejects.toThrow("must tell the file's length");
    let tag = 0;
    const changing = await urlSource("x:", {
      fetch: async () =>
        new Response(file.slice(0, 1), { status: 206, headers: { etag: `${tag++}`, "content-range": "bytes 0-0/9" } }),
    });
    await expect(changing.read(0, 1)).rejects.toThrow("must not change while it is read");
    expect((await changing.read(3, 3)).length).toBe(0);
  });
});
