// What JavaScript and the workers call.
export { run, serve, spin } from "./scheduler";
export { probe } from "./simd";
