// One layer of the decoder: x + selfAttn(norm x), then x + mlp(norm x).
import type { Attention, AttentionContext } from "../attention/attention.js";
import type { MoEForwardOptions, MoEOutput } from "../layers/moe-layer.js";
import { RmsNorm } from "../layers/rms-norm.js";
import type { Weights } from "../layers/weights.js";
import { add } from "../ops/binary.js";
import { addRmsNorm } from "../ops/add-rms-norm.js";
import type { Routing } from "../routing/router.js";
import { scope } from "../tensor/scope.js";
import { Tensor } from "../tensor/tensor.js";

/** The second half of a block: a dense feed-forward, or a mixture that also tells its routing. */
export interface FeedForward {
  forward(x: Tensor, options?: MoEForwardOptions): Tensor | MoEOutput;
}

export interface DecoderBlockOptions {
  readonly hiddenSize: number;
  readonly rmsNormEps: number;
  readonly selfAttn: Attention;
  readonly mlp: FeedForward;
}

export type DecoderBlockContext = AttentionContext & {
  /** u32 [B, T]: rows with 0 visit no expert. */
  readonly rowMask?: Tensor;
  /** Receives the routing of a mixture, under the context's layer (0 unless given). Dense layers add nothing. */
  readonly routings?: Map<number, Routing>;
};

export class DecoderBlock {
  readonly inputLayernorm: RmsNorm;
  readonly selfAttn: Attention;
  readonly postAttentionLayernorm: RmsNorm;
  readonly mlp: FeedForward;

  constructor(w: Weights, { hiddenSize, rmsNormEps, selfAttn, mlp }: DecoderBlockOptions) {
    this.inputLayernorm = new RmsNorm(w.at("inputLayernorm"), { size: hiddenSize, rmsNormEps });
    this.selfAttn = selfAttn;
    this.postAttentionLayernorm = new RmsNorm(w.at("postAttentionLayernorm"), { size: hiddenSize, rmsNormEps });
    this.mlp = mlp;
  }

  /**
   * What is computed on the way is freed at the end, so memory peaks at one block.
   * @param x f32 [B, T, D] @returns f32 [B, T, D]
   */
  forward(x: Tensor, context: DecoderBlockContext): Tensor {
    const { rowMask, routings } = context;
    const { y, routing } = scope(() => {
      const attended = this.selfAttn.forward(this.inputLayernorm.forward(x), context);
      const { weight, eps } = this.postAttentionLayernorm;
      const { sum, y: normed } = addRmsNorm(attended, x, weight, eps);
      const out = this.mlp.forward(normed, { rowMask });
      const { output, routing } = out instanceof Tensor ? { output: out, routing: undefined } : out;
      return { y: add(sum, output), routing: routings && routing };
    });
    if (routing) routings?.set("layer" in context ? (context.layer ?? 0) : 0, routing);
    return y;
  }
}
