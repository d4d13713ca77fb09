// What a worker runs. A string, because a function turned into text breaks under coverage tools and minifiers.

/** Waits for one message with module, memory and thread number; answers when it is instantiated; then works until the backend closes. */
export const workerSource: string = `
const start = ({ module, memory, thread }, answer) => {
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  answer("ready");
  exports.serve(thread);
};
if (typeof postMessage === "function") {
  onmessage = ({ data }) => { start(data, (text) => postMessage(text)); close(); };
} else {
  const { parentPort } = process.getBuiltinModule("node:worker_threads");
  parentPort.once("message", (data) => start(data, (text) => parentPort.postMessage(text)));
}
`;
