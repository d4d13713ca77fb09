// How far the training is: a bar on a terminal, now and then a line elsewhere.
import { SingleBar } from "cli-progress";
import type { StepReport } from "qwen-blocks/train";

export interface Progress {
  /** After each step, with the step's load balance. */
  step(report: StepReport, balance: number): void;
  stop(): void;
}

/** @param from steps that were done before this process began. */
export function showProgress(steps: number, from: number, print: (line: string) => void): Progress {
  const begin = performance.now();
  let tokens = 0;
  const describe = (report: StepReport, balance: number): Record<string, string> => {
    const seconds = (performance.now() - begin) / 1000;
    const done = report.step + 1;
    tokens += report.tokens;
    return {
      loss: report.loss.toFixed(3),
      aux: report.auxLoss.toFixed(2),
      balance: balance.toFixed(2),
      speed: (tokens / seconds).toFixed(0),
      left: showTime((seconds / (done - from)) * (steps - done)),
    };
  };
  return process.stdout.isTTY ? bar(steps, from, describe) : lines(steps, print, describe);
}

type Describe = (report: StepReport, balance: number) => Record<string, string>;

function bar(steps: number, from: number, describe: Describe): Progress {
  const format =
    "{bar} {value}/{total} | loss {loss} | aux {aux} | max/mean load {balance} | {speed} tokens/s | {left} left";
  const single = new SingleBar({ format, barsize: 20, barCompleteChar: "█", barIncompleteChar: "░", hideCursor: true });
  const unknown = { loss: "-", aux: "-", balance: "-", speed: "-", left: "-" };
  single.start(steps, from, unknown);
  return {
    step: (report, balance) => single.update(report.step + 1, describe(report, balance)),
    stop: () => single.stop(),
  };
}

function lines(steps: number, print: (line: string) => void, describe: Describe): Progress {
  const every = Math.max(1, Math.floor(steps / 20));
  return {
    step(report, balance) {
      const { loss, aux, balance: load, speed, left } = describe(report, balance);
      const done = report.step + 1;
      if (done % every !== 0 && done !== steps) return;
      print(`${done}/${steps} loss ${loss}, aux ${aux}, max/mean load ${load}, ${speed} tokens/s, ${left} left`);
    },
    stop: () => undefined,
  };
}

function showTime(seconds: number): string {
  const whole = Math.round(seconds);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}
