// Drawings one per frame, each at most a few times a second: however much happens in the worker, the page stays free.

const waiting = new Set<Drawing>();
let asked = false;

export interface Drawing {
  readonly draw: () => void;
  readonly gap: number;
  last: number;
}

/** @param gap milliseconds between two drawings @returns what to call when there is something new to draw */
export function drawing(draw: () => void, gap = 250): () => void {
  const one: Drawing = { draw, gap, last: -Infinity };
  return () => {
    waiting.add(one);
    ask();
  };
}

function ask(): void {
  if (asked || waiting.size === 0) return;
  asked = true;
  requestAnimationFrame((now) => {
    asked = false;
    const due = [...waiting].find(({ last, gap }) => now - last >= gap);
    if (due !== undefined) {
      waiting.delete(due);
      due.last = now;
      due.draw();
    }
    ask();
  });
}
