// What a command does: its first word. Read by the kernels here and by assembly/tiles.ts, so this file is TypeScript and AssemblyScript at once.

// products
export const PACK = 1;
export const GEMM = 2;
export const GEMM_ROWS = 3;

// primitives: 100 and up

// rows and elements: 200 and up

// attention: 300 and up

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
