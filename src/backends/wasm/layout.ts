// Where things lie in linear memory, and how much room they take, as far as the kernels here and the tiles of assembly/ must agree on it. This file
// is TypeScript and AssemblyScript at once; there each number is an i32, so a file of assembly/ that reckons with one gives it a type of its own.

// Words of the first page, each group of them on a cache line of its own (assembly/scheduler.ts).
/** Tiles in the upper half, the next tile to claim in the lower: one atomic addition claims a tile and tells whether it exists. */
export const CLAIMS = 64;
/** Tiles that are done. */
export const DONE = 128;
/** Counts commands; workers sleep on it. */
export const GENERATION = 192;
/** Workers that sleep. */
export const SLEEPERS = 256;
/** 1 while the caller sleeps on DONE. */
export const CALLER_SLEEPS = 260;
/** 1 when the workers are to end. */
export const STOP = 264;
/** 1 where the caller may sleep: everywhere but on a browser's main thread. */
export const CALLER_MAY_SLEEP = 268;
/** Workers that answer. */
export const WORKERS = 272;
/** Looks at a word before sleeping, about 50 us. */
export const SPINS = 276;
/** 1 while commands follow one another without JavaScript in between. */
export const REPLAYING = 280;
/** The command whose tiles CLAIMS counts. */
export const CLAIMED = 320;

// A command: code, number of tiles, four f64 numbers, then u32 words.
export const NUMBERS = 8;
export const WORDS = 40;

// Dense products.
/** Rows and columns of a block of sums in registers: as many rows of A, and columns of B, are packed together. */
export const BLOCK_ROWS = 6;
export const BLOCK_COLUMNS = 8;
/** Steps of k at a time: a panel of B, 8 columns, stays in the first-level cache. */
export const DEPTH = 512;

// Products with packed weights.
/** Numbers encoded at a time: whole words of codes and of scales. */
export const PIECE = 2048;
/** Bytes of a block of 32 rounded numbers (assembly/packed-activations.ts). */
export const ROUNDED_BLOCK = 100;
/** Scratch memory of a thread for a product (assembly/packed-dot.ts). */
export const DOT_SCRATCH = 640;
/** Rows of a weight that are put in order together, bytes of such a block's codes at most, and scratch memory beside the panels. */
export const PANEL_ROWS = 8;
export const PANEL_CODES = 512;
export const PANEL_SPARE = 128;

// Attention.
/** Keys that pass at a time. */
export const KEY_BLOCK = 64;

// Experts.
/** Bytes of a piece of work: expert, where its slots begin in the order, how many. An expert with many slots has several. */
export const ITEM_BYTES = 12;
/** Slots at a time for the gradient of a weight, and columns: what is gathered stays in the second-level cache. */
export const GATHERED_SLOTS = 64;
export const GATHERED_COLUMNS = 256;
/** Numbers between gathered rows, so many that they do not fall on the same lines of the cache. */
export const GATHERED_ROW = 272;
/** Keys of a router that share a largest one. */
export const ROUTE_BLOCK = 16;

// Sorting.
/** Values of the leading bits by which numbers are chosen: 11 of them. */
export const LEADING_VALUES = 2048;
