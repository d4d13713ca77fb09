// Elementwise choice. Where the condition itself is in doubt the bound covers both choices.
import type { Kernel } from "../../../backends/backend.js";
import { sizeOf } from "../../../core/shape.js";
import { broadcastStrides, contents, move, positions } from "../cells.js";
import { oracleStorage } from "../memory.js";

export const select: Kernel<"select", void> = ([condition, a, b], [y]) => {
  const chosen = contents(condition);
  const [atC, atA, atB] = [condition, a, b].map(({ shape }) => positions(y.shape, broadcastStrides(shape, y.shape)));
  const [ofA, ofB] = [contents(a), contents(b)];
  const { bound } = oracleStorage(y.storage);
  for (let i = 0; i < sizeOf(y.shape); i++) {
    const takesA = chosen.value[atC[i]] !== 0;
    const [from, at] = takesA ? [a, atA[i]] : [b, atB[i]];
    move(from, Int32Array.of(at), y, Int32Array.of(i));
    if (chosen.bound[atC[i]] === 0) continue;
    const gap = Math.abs(ofA.value[atA[i]] - ofB.value[atB[i]]);
    const other = takesA ? ofB.bound[atB[i]] : ofA.bound[atA[i]];
    const both = Math.max(bound[y.offset + i], gap + other);
    bound[y.offset + i] = Number.isNaN(both) ? Infinity : both;
  }
};
