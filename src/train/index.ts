// The public names of `qwen-blocks/train`.
export { AdamW, type AdamWOptions } from "./adamw.js";
export { clipScale, globalNorm } from "./clip.js";
export { batchesInOrder, sampleBatch, splitTokens, type Batch, type BatchOptions, type TokenIds } from "./data.js";
export { train, type TrainOptions } from "./loop.js";
export { evaluate, type LanguageModel } from "./language-model.js";
export { ignoredTarget, nextTokenLoss } from "./next-token-loss.js";
export type { Optimizer } from "./optimizer.js";
export { cosineSchedule, linearSchedule, type Schedule, type ScheduleOptions } from "./schedule.js";
export { Trainer, type StepReport, type TrainerOptions } from "./trainer.js";
