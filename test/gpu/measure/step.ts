// What the parts of a visit to a GPU have in common.
export interface VisitOptions {
  /** Of the model's widths, depth and vocabulary. */
  readonly scale: number;
  /** Tokens that are decoded. */
  readonly tokens: number;
  /** Of each measurement, of which the median counts. */
  readonly runs: number;
  /** Drawn inputs per case of the suite. */
  readonly cases: number;
  /** Operands for a software adapter, or for a GPU; by the adapter unless given. */
  readonly size?: "small" | "large";
}

export type Print = (line: string) => void;

/** Does its part, prints what people want to know, and returns it for programs. */
export type Part = (options: VisitOptions, print: Print) => Promise<object>;
