// Elementwise choice. Where the condition itself is in doubt the bound covers both choices.
import type { Kernel } from "../../../backends/backend.js";
import { broadcastStrides, contents, move, positions } from "../cells.js";
import { kinds, oracleStorage } from "../memory.js";

export const select: Kernel<"select", void> = ([condition, a, b], [y]) => {
  const chosen = contents(condition);
  const [atC, atA, atB] = [condition, a, b].map(({ shape }) => positions(y.shape, broadcastStrides(shape, y.shape)));
  const takesA = atC.map((at) => (chosen.value[at] === 0 ? 0 : 1));
  const places = takesA.map((_, i) => i);
  for (const [from, at, taken] of [[a, atA, 1] as const, [b, atB, 0] as const]) {
    const own = places.filter((i) => takesA[i] === taken);
    move(
      from,
      own.map((i) => at[i]),
      y,
      own,
    );
  }
  if (chosen.bound.every((bound) => bound === 0)) return;
  const [ofA, ofB] = [contents(a), contents(b)];
  const { value, bound, kind } = oracleStorage(y.storage);
  for (const i of places) {
    if (chosen.bound[atC[i]] === 0) continue;
    const [p, q, dp, dq] = [ofA.value[atA[i]], ofB.value[atB[i]], ofA.bound[atA[i]], ofB.bound[atB[i]]];
    const both = takesA[i] ? Math.max(dp, Math.abs(p - q) + dq) : Math.max(dq, Math.abs(p - q) + dp);
    value[y.offset + i] = takesA[i] ? p : q;
    bound[y.offset + i] = Number.isNaN(both) ? Infinity : both;
    kind[y.offset + i] = y.dtype === "f32" ? kinds.float : kinds.word;
  }
};
