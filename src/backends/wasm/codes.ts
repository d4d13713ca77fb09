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
// how rows of numbers are stored: as they are, or packed by a scheme
export const PLAIN = 0;
export const Q8_0 = 1;
export const Q4_0 = 2;
export const F16 = 3;
export const BF16 = 4;
// and those that are read alone (assembly/packed-reading.ts); 5 to 8 are below
export const INT8 = 10;
export const INT8_AFFINE = 11;
export const INT4 = 12;
export const INT4_AFFINE = 13;
export const Q4_K = 14;
export const Q6_K = 15;
export const MXFP4 = 16;
export const FP8_E4M3 = 17;
export const FP8_E5M2 = 18;
export const FP8_E4M3_TILE = 19;
export const FP4 = 20;
export const IQ4_NL = 21;
export const Q4_1 = 22;
export const Q5_0 = 23;
export const Q5_1 = 24;
export const Q5_K = 25;
export const NF4 = 26;

// rows and elements: 200 and up
export const UNARY = 200;
export const RMS_NORM = 201;
export const ADD_RMS_NORM = 202;
export const RMS_NORM_GRAD = 203;
export const SUM_PARTS = 204;
export const SOFTMAX = 205;
export const SWIGLU = 206;
export const SWIGLU_GRAD = 207;
export const CROSS_ENTROPY = 208;
export const CROSS_ENTROPY_GRAD = 209;
export const ADAM_W = 210;

// functions of UNARY
export const NEG = 0;
export const ABS = 1;
export const EXP = 2;
export const LOG = 3;
export const SIN = 4;
export const COS = 5;
export const SQRT = 6;
export const RSQRT = 7;
export const SIGMOID = 8;
export const TANH = 9;
export const ROUND = 10;
export const NEG_INTEGER = 11;
export const ABS_INTEGER = 12;

// attention: 300 and up
export const ROPE = 300;
export const QK_NORM_ROPE = 301;
export const APPEND_KV = 302;
export const ATTENTION = 303;
export const ATTENTION_MERGE = 304;
export const ATTENTION_MEANS = 305;
export const ATTENTION_GRAD_QUERIES = 306;
export const ATTENTION_GRAD_KEYS = 307;
export const ATTENTION_POOL = 308;

// experts: 400 and up
export const GROUP = 400;
export const RANK = 401;
export const COMBINE = 402;
export const SLOT_LINEAR = 403;
export const SLOT_GATED = 404;
export const SLOT_DOWN = 405;
export const GROUP_LINEAR = 406;
export const GROUP_GATED = 407;
export const GROUP_INPUT_GRAD = 408;
export const GROUP_WEIGHT_GRAD = 409;
export const ROUTE = 410;
// what ROUTE makes of a logit
export const SOFTMAX_SCORE = 0;
export const SIGMOID_SCORE = 1;
export const UNIFORM_SCORE = 2;

// products with packed weights: 500 and up
export const ROUND_ROWS = 500;
export const PACKED_ROWS = 501;
export const PACKED_SLOT_LINEAR = 502;
export const PACKED_SLOT_GATED = 503;
export const PACKED_SLOT_DOWN = 504;
export const PACKED_MANY = 505;
export const PACK_DECODED = 506;
export const PACKED_GROUP_LINEAR = 507;
export const PACKED_GROUP_GATED = 508;
// a weight's scheme, where its products are of integers because x is rounded to codes of its own
export const Q8_0_INTEGERS = 5;
export const Q4_0_INTEGERS = 6;
export const INT8_INTEGERS = 7;
export const INT4_INTEGERS = 8;
