// A random Qwen3-MoE as a GGUF file that llama.cpp opens: matrices of one type, norms and routers F32.
import { Random } from "qwen-blocks";
import { encoded, ggufFile, str, u32, value, type BuiltTensor, type TensorType } from "../io/gguf-building.js";

const hidden = 64;
const layers = 3;
const heads = 2;
const kvHeads = 1;
const headDim = 32;
const experts = 16;
const expertWidth = 64;
export const vocabSize = 1024;
export const contextLength = 512;

/** A block begins with its scale, an f16. */
const blockBytes: Partial<Record<TensorType, number>> = { Q8_0: 34, Q4_0: 18 };
/** A matrix that all tokens go through on their way to the logits. */
const ofAll = `blk.${layers - 1}.attn_output.weight`;

/** @param doubled the first block of one matrix has twice its scale, as a wrong reader might have it */
export function toyGguf(type: TensorType, doubled = false): Uint8Array<ArrayBuffer> {
  const random = new Random(1);
  const normals = (length: number, mean: number, deviation: number): Float32Array<ArrayBuffer> =>
    Float32Array.from({ length }, () => mean + deviation * random.normal());
  const tensors: BuiltTensor[] = [];
  const plain = (name: string, shape: readonly number[], mean: number, deviation: number): void => {
    const x = normals(
      shape.reduce((size, extent) => size * extent),
      mean,
      deviation,
    );
    tensors.push({ name: `${name}.weight`, type: "F32", shape, bytes: encoded("F32", x) });
  };
  const norm = (name: string, width: number): void => plain(name, [width], 1, 0.2);
  const matrix = (name: string, shape: readonly number[], gain: number): void => {
    const x = normals(
      shape.reduce((size, extent) => size * extent),
      0,
      gain / Math.sqrt(shape[shape.length - 1]),
    );
    tensors.push({ name: `${name}.weight`, type, shape, bytes: encoded(type, x) });
  };
  matrix("token_embd", [vocabSize, hidden], Math.sqrt(hidden));
  norm("output_norm", hidden);
  matrix("output", [vocabSize, hidden], 2.5);
  for (let layer = 0; layer < layers; layer++) {
    const name = (field: string): string => `blk.${layer}.${field}`;
    norm(name("attn_norm"), hidden);
    matrix(name("attn_q"), [heads * headDim, hidden], 1);
    matrix(name("attn_k"), [kvHeads * headDim, hidden], 1);
    matrix(name("attn_v"), [kvHeads * headDim, hidden], 1);
    matrix(name("attn_output"), [hidden, heads * headDim], 4);
    norm(name("attn_q_norm"), headDim);
    norm(name("attn_k_norm"), headDim);
    norm(name("ffn_norm"), hidden);
    plain(name("ffn_gate_inp"), [experts, hidden], 0, 4 / Math.sqrt(hidden));
    matrix(name("ffn_gate_exps"), [experts, expertWidth, hidden], 1);
    matrix(name("ffn_up_exps"), [experts, expertWidth, hidden], 1);
    matrix(name("ffn_down_exps"), [experts, hidden, expertWidth], 2);
  }
  if (doubled)
    doubleScale(
      tensors.find(({ name }) => name === ofAll)!,
      blockBytes[type] ?? 0,
    );
  return ggufFile({ metadata, tensors });
}

/** One more in the exponent of the f16 that the first block begins with. */
function doubleScale({ name, bytes }: BuiltTensor, size: number): void {
  if (size === 0) throw new Error(`${name}: must be of blocks with a scale`);
  const scale = new DataView(bytes.buffer, bytes.byteOffset, size);
  scale.setUint16(0, scale.getUint16(0, true) + 0x400, true);
}

/** Tokens that no text has: the file is for ids. */
const tokenizer = {
  "tokenizer.ggml.model": value.string("gpt2"),
  "tokenizer.ggml.pre": value.string("qwen2"),
  "tokenizer.ggml.tokens": value.array(
    8,
    Array.from({ length: vocabSize }, (_, id) => str(`<${id}>`)),
  ),
  "tokenizer.ggml.token_type": value.array(
    5,
    Array.from({ length: vocabSize }, () => u32(1)),
  ),
  "tokenizer.ggml.merges": value.array(8, [str("< 0")]),
  "tokenizer.ggml.bos_token_id": value.u32(0),
  "tokenizer.ggml.eos_token_id": value.u32(1),
};

const sizes = {
  block_count: layers,
  context_length: contextLength,
  embedding_length: hidden,
  feed_forward_length: 2 * hidden,
  "attention.head_count": heads,
  "attention.head_count_kv": kvHeads,
  "attention.key_length": headDim,
  "attention.value_length": headDim,
  vocab_size: vocabSize,
  expert_count: experts,
  expert_used_count: 4,
  expert_feed_forward_length: expertWidth,
};

const metadata = {
  "general.architecture": value.string("qwen3moe"),
  ...Object.fromEntries(Object.entries(sizes).map(([key, size]) => [`qwen3moe.${key}`, value.u32(size)])),
  "qwen3moe.rope.freq_base": value.f32(1e6),
  "qwen3moe.attention.layer_norm_rms_epsilon": value.f32(1e-6),
  ...tokenizer,
};
