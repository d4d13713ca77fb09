// Parameter paths against the keys of transformers, written out, in both directions.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { qwen3Names, qwen3Path } from "../../src/io/qwen3-names.js";
import { plainNames } from "../../src/io/names.js";

const names = qwen3Names({ numAttentionHeads: 4, numKeyValueHeads: 2, headDim: 8 });
const at = "model.layers.3.";

describe("parameter paths and checkpoint keys", () => {
  test.each<[string, number[], "per-expert" | "fused", Record<string, number[]>]>([
    ["embedTokens.weight", [9, 5], "fused", { "model.embed_tokens.weight": [9, 5] }],
    ["norm.weight", [5], "fused", { "model.norm.weight": [5] }],
    ["lmHead.weight", [9, 5], "fused", { "lm_head.weight": [9, 5] }],
    ["layers.3.inputLayernorm.weight", [5], "fused", { [`${at}input_layernorm.weight`]: [5] }],
    ["layers.3.postAttentionLayernorm.weight", [5], "fused", { [`${at}post_attention_layernorm.weight`]: [5] }],
    ["layers.3.selfAttn.qNorm.weight", [8], "fused", { [`${at}self_attn.q_norm.weight`]: [8] }],
    ["layers.3.selfAttn.kNorm.weight", [8], "fused", { [`${at}self_attn.k_norm.weight`]: [8] }],
    ["layers.3.selfAttn.oProj.weight", [5, 32], "fused", { [`${at}self_attn.o_proj.weight`]: [5, 32] }],
    ["layers.3.selfAttn.oProj.bias", [5], "fused", { [`${at}self_attn.o_proj.bias`]: [5] }],
    [
      "layers.3.selfAttn.qkvProj.weight",
      [64, 5],
      "fused",
      {
        [`${at}self_attn.q_proj.weight`]: [32, 5],
        [`${at}self_attn.k_proj.weight`]: [16, 5],
        [`${at}self_attn.v_proj.weight`]: [16, 5],
      },
    ],
    [
      "layers.3.selfAttn.qkvProj.bias",
      [64],
      "fused",
      {
        [`${at}self_attn.q_proj.bias`]: [32],
        [`${at}self_attn.k_proj.bias`]: [16],
        [`${at}self_attn.v_proj.bias`]: [16],
      },
    ],
    ["layers.3.mlp.gate.weight", [6, 5], "fused", { [`${at}mlp.gate.weight`]: [6, 5] }],
    [
      "layers.3.mlp.gateUpProj.weight",
      [14, 5],
      "fused",
      { [`${at}mlp.gate_proj.weight`]: [7, 5], [`${at}mlp.up_proj.weight`]: [7, 5] },
    ],
    ["layers.3.mlp.downProj.weight", [5, 7], "fused", { [`${at}mlp.down_proj.weight`]: [5, 7] }],
    ["layers.3.mlp.experts.gateUpProj", [2, 6, 5], "fused", { [`${at}mlp.experts.gate_up_proj`]: [2, 6, 5] }],
    ["layers.3.mlp.experts.downProj", [2, 5, 3], "fused", { [`${at}mlp.experts.down_proj`]: [2, 5, 3] }],
    [
      "layers.3.mlp.experts.gateUpProj",
      [2, 6, 5],
      "per-expert",
      {
        [`${at}mlp.experts.0.gate_proj.weight`]: [3, 5],
        [`${at}mlp.experts.0.up_proj.weight`]: [3, 5],
        [`${at}mlp.experts.1.gate_proj.weight`]: [3, 5],
        [`${at}mlp.experts.1.up_proj.weight`]: [3, 5],
      },
    ],
    [
      "layers.3.mlp.experts.downProj",
      [2, 5, 3],
      "per-expert",
      { [`${at}mlp.experts.0.down_proj.weight`]: [5, 3], [`${at}mlp.experts.1.down_proj.weight`]: [5, 3] },
    ],
  ])("%s %j %s", (path, shape, layout, keys) => {
    const pieces = names.write(path, shape, layout);
    expect(pieces.map(({ key, shape }) => [key, shape])).toEqual(Object.entries(keys));
    for (const { key } of pieces) expect(qwen3Path(key)).toBe(path);
    // What is written is also what is looked for.
    expect(names.find(path, shape, new Map(pieces.map((piece) => [piece.key, piece])))).toEqual(pieces);
  });

  test("the case change goes both ways", () => {
    const word = fc.stringMatching(/^[a-z]{1,4}(_[a-z]{1,4}){0,3}$/);
    fc.assert(
      fc.property(fc.array(word, { minLength: 1, maxLength: 4 }), (words) => {
        const key = `model.x.${words.join(".")}.w`;
        fc.pre(!/[qkv]_proj|up_proj|gate_proj|qkv|experts|(^|[._])(gate_up|up)/.test(key));
        const path = qwen3Path(key);
        expect(path).not.toContain("_");
        expect(names.find(path, [1], new Map())).toEqual([{ key, shape: [1] }]);
      }),
    );
  });

  test("rows that cannot be told apart", () => {
    expect(() => names.write("layers.0.mlp.gateUpProj.weight", [7, 5], "fused")).toThrow(
      "layers.0.mlp.gateUpProj.weight: must have as many rows for the gate as for up, got [7,5]",
    );
    expect(() => names.write("layers.0.mlp.experts.gateUpProj", [2, 7, 5], "per-expert")).toThrow("got [2,7,5]");
    expect(() => names.write("layers.0.selfAttn.qkvProj.weight", [65, 5], "fused")).toThrow("rows = 64, got [65,5]");
  });

  test("plain names change nothing", () => {
    expect(plainNames.find("a.bC", [2], new Map())).toEqual([{ key: "a.bC", shape: [2] }]);
    expect(plainNames.write("a.bC", [2], "fused")).toEqual([{ key: "a.bC", shape: [2] }]);
  });
});
