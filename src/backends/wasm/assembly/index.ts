// What JavaScript and the workers call.
export { replay, run, serve, spin } from "./scheduler";
export { probe } from "./simd";
