// The k experts of each row, best first, and their weights.
import type { Kernel } from "../../backend.js";
import { ROUTE, SIGMOID_SCORE, SOFTMAX_SCORE, UNIFORM_SCORE } from "../codes.js";
import { perTile, type Engine } from "../engine.js";
import { ROUTE_BLOCK } from "../layout.js";

const SCORES = { softmax: SOFTMAX_SCORE, sigmoid: SIGMOID_SCORE, uniform: UNIFORM_SCORE };

export const route =
  (engine: Engine): Kernel<"route", void> =>
  ([logits, bias], [weights, experts], { k, score, normalize, scale }) => {
    const [rows, width] = logits.shape;
    const each = perTile(rows, 8 * width + 32 * k);
    const blocks = Math.ceil(width / ROUTE_BLOCK);
    const threadBytes = Math.ceil((blocks * ROUTE_BLOCK + blocks + 4) / 16) * 64;
    const [keys] = engine.scratch(threadBytes * engine.threads);
    const addresses = [logits, bias, weights, experts].map((view) => (view === undefined ? 0 : engine.at(view)));
    const flags = [SCORES[score], Number(normalize)];
    const words = [...addresses, rows, width, k, ...flags, each, keys, threadBytes];
    engine.launch(ROUTE, Math.ceil(rows / each), words, [scale]);
  };
