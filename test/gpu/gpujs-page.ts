// Runs in a page of Chromium: the exported suite, and what else is asked of the gpujs backend on WebGL2.
export * from "../browser/suite.js";
