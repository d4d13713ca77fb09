// One layer of the decoder: x + selfAttn(norm x), then x + mlp(norm x).
import type { Attention, AttentionContext } from "../attention/attention.js";
import type { MoEForwardOptions, MoEOutput } from "../layers/mixture.js";
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

/** The residual stream between two blocks, and its norm by the weights of the second one. */
export interface NormedStream {
  readonly x: Tensor;
  readonly normed: Tensor;
}

interface Halves {
  readonly sum: Tensor;
  readonly output: Tensor;
  readonly routing: Routing | undefined;
}

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
    const { y, routing } = scope(() => {
      const { sum, output, routing } = this.#halves(x, this.inputLayernorm.forward(x), context);
      return { y: add(sum, output), routing };
    });
    note(routing, context);
    return y;
  }

  /**
   * The same, where the norms between blocks are part of the sums before them: one op where {@link forward} takes two.
   * @param stream the block's input f32 [B, T, D], and what its first norm makes of that
   * @param next the norm that comes after this block
   * @returns the block's output, and what `next` makes of that
   */
  forwardNormed(stream: NormedStream, next: RmsNorm, context: DecoderBlockContext): NormedStream {
    const { x, normed, routing } = scope(() => {
      const { sum, output, routing } = this.#halves(stream.x, stream.normed, context);
      const { sum: x, y: normed } = addRmsNorm(output, sum, next.weight, next.eps);
      return { x, normed, routing };
    });
    note(routing, context);
    return { x, normed };
  }

  /** Both halves, but for the last sum. */
  #halves(x: Tensor, normed: Tensor, context: DecoderBlockContext): Halves {
    const attended = this.selfAttn.forward(normed, context);
    const { weight, eps } = this.postAttentionLayernorm;
    const { sum, y } = addRmsNorm(attended, x, weight, eps);
    const out = this.mlp.forward(y, { rowMask: context.rowMask });
    if (out instanceof Tensor) return { sum, output: out, routing: undefined };
    return { sum, output: out.output, routing: context.routings && out.routing };
  }
}

/** Keeps a routing that somebody waits for. */
function note(routing: Routing | undefined, context: DecoderBlockContext): void {
  if (routing) context.routings?.set("layer" in context ? (context.layer ?? 0) : 0, routing);
}
