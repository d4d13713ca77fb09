// Turns the heads of each token by its row of the table; tiles are tokens.
import type { Kernels } from "../../backend.js";
import { ROPE } from "../codes.js";
import { perTile, type Engine } from "../engine.js";

export const rope =
  (engine: Engine): NonNullable<Kernels["rope"]> =>
  ([x, table, rows], [y], { layout, inverse }) => {
    const [batch, length, heads, size] = x.shape;
    const tokens = batch * length;
    const step = perTile(tokens, heads * size);
    engine.launch(ROPE, Math.ceil(tokens / step), [
      ...[x, table, rows, y].map((view) => engine.at(view)),
      ...[tokens, heads, size, ...table.shape, step],
      ...[layout === "interleaved" ? 1 : 0, inverse ? 1 : 0],
    ]);
  };
