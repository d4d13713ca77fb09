// What llama.cpp's graph of a Qwen3 fixes and neither tensors nor config show: settings of blocks that were put together by hand.
import { CheckpointError } from "../core/errors.js";
import type { ConfigJson } from "./gguf-metadata.js";
import { isJsonObject, show } from "./json-text.js";

/** Settings of a layer by path, with what they must be; those with `undefined` may also be left out. */
function graphOf(config: ConfigJson): Readonly<Record<string, readonly unknown[]>> {
  const attention = {
    numAttentionHeads: [config.num_attention_heads],
    numKeyValueHeads: [config.num_key_value_heads],
    headDim: [config.head_dim],
    qkNorm: [true],
    rmsNormEps: [config.rms_norm_eps],
    causal: [true, undefined],
    slidingWindow: [0, undefined],
    sinks: [0, undefined],
    softcap: [0, undefined],
    outputGate: [false, undefined],
  };
  const scaling = isJsonObject(config.rope_scaling) ? config.rope_scaling : {};
  const rope = {
    ropeType: [scaling.rope_type ?? scaling.type ?? "default"],
    ropeTheta: [config.rope_theta],
    factor: [scaling.factor],
    partialRotaryFactor: [1, undefined],
    mropeSection: [undefined],
  };
  const router = { numExpertsPerTok: [config.num_experts_per_tok], normTopkProb: [true], score: ["softmax"] };
  const under = (
    path: string,
    settings: Readonly<Record<string, readonly unknown[]>>,
  ): (readonly [string, readonly unknown[]])[] =>
    Object.entries(settings).map(([name, values]) => [`${path}.${name}`, values]);
  return Object.fromEntries([
    ...under("selfAttn.options", attention),
    ...under("selfAttn.rope.options", rope),
    ...(config.model_type === "qwen3_moe" ? under("mlp.router", router) : []),
  ]);
}

/** @throws CheckpointError that names a block's setting which llama.cpp has no place for */
export function expectGraph(model: object, config: ConfigJson): void {
  const { layers = [] } = model as { readonly layers?: readonly object[] };
  layers.forEach((layer, i) => {
    for (const [path, values] of Object.entries(graphOf(config))) {
      const found = path
        .split(".")
        .reduce<unknown>((block, field) => (block as Record<string, unknown> | undefined)?.[field], layer);
      if (values.includes(found)) continue;
      const [first] = values;
      throw new CheckpointError(
        `saveGguf: layers.${i}.${path} must be ${show(first)} for llama.cpp to compute the same, got ${show(found)}; save as safetensors`,
      );
    }
  });
}
