// Order statistics, which a disturbed run hardly moves.
export interface Quartiles {
  readonly lower: number;
  readonly median: number;
  readonly upper: number;
}

/** Interpolated between neighbours. */
export function quartiles(values: readonly number[]): Quartiles {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number): number => {
    const place = share * (sorted.length - 1);
    const below = Math.floor(place);
    return sorted[below] + (place - below) * (sorted[Math.ceil(place)] - sorted[below]);
  };
  return { lower: at(0.25), median: at(0.5), upper: at(0.75) };
}

export function median(values: readonly number[]): number {
  return quartiles(values).median;
}

export function showQuartiles({ lower, median, upper }: Quartiles, digits = 3): string {
  return `${median.toPrecision(digits)} (${lower.toPrecision(digits)} to ${upper.toPrecision(digits)})`;
}
