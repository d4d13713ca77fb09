// How the parameters of a model are called and cut up in a checkpoint. Loading and saving know nothing else about a model family.
import type { Shape } from "../core/shape.js";

/** A checkpoint tensor that holds a run of a parameter's elements. */
export interface Piece {
  /** The tensor's name in the checkpoint. */
  readonly key: string;
  /** Its shape there. */
  readonly shape: Shape;
  /** The checkpoint has the last two axes swapped: elements are read from `shape`, [..., columns, rows], into [..., rows, columns]. */
  readonly swapped?: boolean;
}

/** How expert weights are written: a matrix for each expert and projection, or one tensor for all experts. */
export type ExpertLayout = "per-expert" | "fused";

/** What is known about the tensors of a checkpoint before any is read. */
export type FoundShapes = ReadonlyMap<string, { readonly shape: Shape }>;

export interface Names {
  /**
   * The tensors of a checkpoint that make up parameter `path` of `shape`, in the order of its elements. Which layout the checkpoint has is
   * read off `found`.
   *
   * @throws CheckpointError if the layout contradicts itself.
   */
  find(path: string, shape: Shape, found: FoundShapes): readonly Piece[];
  /** The tensors to write parameter `path` of `shape` as; none is swapped. */
  write(path: string, shape: Shape, layout: ExpertLayout): readonly Piece[];
}

/** Parameters under their own paths, one tensor each. */
export const plainNames: Names = {
  find: (path, shape) => [{ key: path, shape }],
  write: (path, shape) => [{ key: path, shape }],
};
