import { openBackend } from "qwen-blocks/auto";
import { cpu } from "qwen-blocks/cpu";

const own = await cpu(); // the one you name
const { backend, passedOver } = await openBackend(); // the best there is, and why not a better one
console.log(backend.name, backend.info, passedOver);
await own[Symbol.asyncDispose]();
await backend[Symbol.asyncDispose]();
