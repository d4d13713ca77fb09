// GGUF files for the soak: right at first, then with drawn values in the metadata, drawn tensors, and drawn words in any place.
import fc from "fast-check";
import { f32, ggufFile, joined, str, u32, u64, u8, value, type BuiltTensor, type TensorType } from "./gguf-building.js";

type Bytes = Uint8Array<ArrayBuffer>;

/** Mostly nothing, so that other checks are reached too. */
const seldom = <T>(something: fc.Arbitrary<T>): fc.Arbitrary<readonly T[]> =>
  fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: fc.array(something, { maxLength: 3 }) });

const rightKeys: Readonly<Record<string, Bytes>> = {
  block_count: value.u32(1),
  context_length: value.u32(64),
  embedding_length: value.u32(32),
  feed_forward_length: value.u32(32),
  "attention.head_count": value.u32(1),
  "attention.head_count_kv": value.u32(1),
  "attention.key_length": value.u32(32),
  "attention.layer_norm_rms_epsilon": value.f32(1e-6),
  "rope.freq_base": value.f32(1e6),
  "rope.scaling.type": value.string("yarn"),
  "rope.scaling.factor": value.f32(4),
  "rope.scaling.original_context_length": value.u32(16),
  expert_count: value.u32(2),
  expert_used_count: value.u32(1),
  expert_feed_forward_length: value.u32(32),
};
const names = ["token_embd", "output_norm", "blk.0.attn_q", "blk.0.ffn_gate_exps", "blk.0.ffn_down_exps", "other"];
const otherKeys = ["general.alignment", "split.count", "tokenizer.ggml.bos_token_id", "tokenizer.ggml.tokens", "x"];

/** A value of any type, and some that nest. */
const drawnValue: fc.Arbitrary<Bytes> = fc.oneof(
  fc.nat().map(value.u32),
  fc.constantFrom(0, 8, 12, 64, 2 ** 31).map(value.u32),
  fc.float().map(value.f32),
  fc.nat(3).map(value.bool),
  fc.string().map(value.string),
  fc.bigInt(0n, 2n ** 64n - 1n).map(value.u64),
  fc.array(fc.string(), { maxLength: 4 }).map((texts) => value.array(8, texts.map(str))),
  fc.array(fc.float(), { maxLength: 4 }).map((floats) => value.array(6, floats.map(f32))),
  fc.array(fc.nat(9), { maxLength: 6 }).map((types) => {
    const arrays = types.map((type) => joined(u32(type), u64(0)));
    return value.array(9, arrays);
  }),
  fc.tuple(fc.nat(13), fc.nat(40)).map(([type, count]) => joined(u32(9), u32(type), u64(count), u8(0))),
);

const bytesPer: Readonly<Record<TensorType, number>> = {
  F32: 4,
  F16: 2,
  BF16: 2,
  Q8_0: 34 / 32,
  Q4_0: 18 / 32,
  Q4_1: 20 / 32,
  Q5_0: 22 / 32,
  Q5_1: 24 / 32,
  MXFP4: 17 / 32,
  IQ4_NL: 18 / 32,
  Q4_K: 144 / 256,
  Q5_K: 176 / 256,
  Q6_K: 210 / 256,
};
const drawnTensor = (name: string): fc.Arbitrary<BuiltTensor> =>
  fc
    .record({
      type: fc.constantFrom(...(Object.keys(bytesPer) as TensorType[])),
      outer: fc.array(fc.nat(3), { maxLength: 3 }),
      width: fc.constantFrom(0, 1, 32, 32, 32, 96, 256),
      fill: fc.nat(255),
    })
    .map(({ type, outer, width, fill }) => {
      const shape = [...outer, width];
      const bytes = Math.ceil(shape.reduce((size, extent) => size * extent, bytesPer[type]));
      return { name: `${name}.weight`, type, shape, bytes: new Uint8Array(bytes).fill(fill) };
    });

/** What a count, a length or an offset can be. */
const word = fc.record({
  place: fc.nat(),
  word: fc.constantFrom(
    0n,
    1n,
    2n,
    12n,
    255n,
    2n ** 16n,
    2n ** 31n,
    2n ** 32n - 1n,
    2n ** 53n,
    2n ** 63n,
    2n ** 64n - 1n,
  ),
});

export const drawnGguf: fc.Arbitrary<Bytes> = fc
  .record({
    arch: fc.constantFrom("qwen3", "qwen3moe", "qwen3moe", "llama"),
    keys: seldom(fc.tuple(fc.constantFrom(...Object.keys(rightKeys)), drawnValue)),
    more: seldom(fc.tuple(fc.constantFrom(...otherKeys), drawnValue)),
    without: seldom(fc.constantFrom(...Object.keys(rightKeys))),
    tensors: fc.tuple(...names.map(drawnTensor)),
    words: seldom(word),
  })
  .map(({ arch, keys, more, without, tensors, words }) => {
    const own = { ...rightKeys, ...Object.fromEntries(keys) };
    for (const key of without) delete own[key];
    const metadata = {
      "general.architecture": value.string(arch),
      ...Object.fromEntries(Object.entries(own).map(([key, bytes]) => [`${arch}.${key}`, bytes])),
      ...Object.fromEntries(more),
    };
    const file = ggufFile({ metadata, tensors });
    for (const { place, word } of words) file.set(u64(word), place % (file.length - 8));
    return file;
  });
