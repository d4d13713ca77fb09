// What a command does: its first word. Read by the kernels here and by assembly/tiles.ts, so this file is TypeScript and AssemblyScript at once.

// products
export const PACK = 1;
export const GEMM = 2;
export const GEMM_ROWS = 3;

// primitives: 100 and up
export const FILL = 100;
export const RAMP = 101;
export const STRIDED = 102;
export const TRANSPOSE = 103;
export const GATHER = 104;
export const GATHER_PACKED = 105;
export const SCATTER = 106;
export const REDUCE_ROWS = 107;
export const REDUCE_COLUMNS = 108;
export const SCAN_ROWS = 109;
export const SCAN_OFFSETS = 110;
export const SCAN_COLUMNS = 111;
export const TOP_K = 112;
export const SORT = 113;
export const QUANTIZE = 114;
// what a STRIDED command does with each element
export const COPY = 150;
export const SELECT = 151;
export const CAST = 152;
export const ADD = 153;
export const SUB = 154;
export const MUL = 155;
export const DIV = 156;
export const MIN = 157;
export const MAX = 158;
export const EQUAL = 159;
export const LESS = 160;
export const AND = 161;
export const OR = 162;
export const XOR = 163;
export const SHIFT_LEFT = 164;
export const SHIFT_RIGHT = 165;
// element types
export const F32 = 0;
export const I32 = 1;
export const U32 = 2;

// rows and elements: 200 and up

// attention: 300 and up

// experts: 400 and up
