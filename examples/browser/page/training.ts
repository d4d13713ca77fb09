// The panel that trains: the model goes on learning in the worker, with or without the balance loss.
import { maxOverMean, mean } from "../../train-toy/history.js";
import type { Step } from "../lab/messages.js";
import { announce, clearError, fact, showError, showProgress, speed, type App } from "./app.js";
import type * as Charts from "./charts.js";
import { color } from "./colors.js";
import { byId, table, tableIn } from "./elements.js";
import { drawing } from "./frames.js";

/** Steps that one press of the button takes. */
const stepsPerRun = 300;
const defaultCoefficient = 0.02;

interface Seen {
  readonly step: number;
  readonly loss: number;
  readonly auxLoss: number;
  readonly load: number;
  readonly inUse: number;
  readonly balanced: boolean;
}

export interface Training {
  /** Takes up training again, after a change that stopped it. */
  resume(): void;
  /** The model is another one now, which has taken no steps. */
  forget(): void;
  redraw(): void;
}

export interface TrainingEvents {
  /** @param shares what a step's experts got, in fair shares: [layer][expert] */
  stepped(shares: readonly Float32Array[]): void;
  /** Training stopped, or the model is another one. */
  ended(): void;
  /** What the steps so far showed holds no more. */
  reset(): void;
}

export function mountTraining(app: App, { stepped, ended, reset: emptied }: TrainingEvents): Training {
  const { lab, toy } = app;
  const button = byId<HTMLButtonElement>("train");
  const balance = byId<HTMLInputElement>("balance");
  const fresh = byId<HTMLButtonElement>("fresh");
  const trained = byId<HTMLButtonElement>("trained");
  let seen: Seen[] = [];
  let turns: Charts.Turn[] = [];
  let wanted = false;
  /** Steps of this run so far. */
  let taken = 0;

  let charts: typeof Charts | undefined;
  const curveOf = (id: string, stroke: string, what: string, valueOf: (one: Seen) => number): (() => void) =>
    drawing(() => {
      const box = byId(id);
      if (seen.length < 2) return box.replaceChildren("Press Train to see a curve.");
      const points = seen.map((one) => ({ step: one.step, value: valueOf(one) }));
      const [first, last] = [points[0], points[points.length - 1]];
      const label = `${what} from ${first.value.toFixed(2)} at step ${first.step} to ${last.value.toFixed(2)} at step ${last.step}.`;
      charts?.curve(box, label, points, turns, color(stroke));
    }, 400);
  const drawings = [
    curveOf("loss-chart", "--accent", "Loss", ({ loss }) => loss),
    curveOf("balance-chart", "--second", "Peak over mean load, 1 at perfect balance,", ({ load }) => load),
  ];
  const redraw = (): void => drawings.forEach((draw) => draw());
  const updateTable = tableIn(byId("train-table"), () => tableOf(seen));
  const refreshTable = drawing(updateTable, 1000);

  const start = (): void => {
    wanted = true;
    taken = 0;
    button.textContent = "Stop";
    clearError();
    import("./charts.js").then((loaded) => {
      charts = loaded;
      redraw();
    }, showError);
    void run();
  };
  const run = async (): Promise<void> => {
    try {
      // What stops it before the last step is the button, which finishes, or a change of the model, which resumes.
      if (!(await lab.call("train", { taken, steps: stepsPerRun }))) return;
    } catch (error) {
      showError(error);
    }
    rest();
    finish();
  };
  const rest = (): void => {
    wanted = false;
    button.textContent = "Train";
  };
  const finish = (): void => {
    if (wanted) return; // pressed again before the last step ended
    showProgress("", 1);
    const last = seen.at(-1);
    if (last)
      announce(`Training stopped at step ${last.step}, loss ${last.loss.toFixed(2)}, ${last.inUse} experts in use.`);
    ended();
  };

  lab.on("stepped", (step) => {
    const next = seenIn(step);
    if (seen.length > 0 && seen[seen.length - 1].balanced !== next.balanced)
      turns.push({ step: next.step, label: next.balanced ? "balance on" : "balance off" });
    seen.push(next);
    taken = step.done;
    showNumbers(next, toy.numExperts * toy.numLayers);
    fact("trains", speed(step.tokensPerSecond));
    showProgress(`Training, step ${step.done} of ${step.steps}`, step.done / step.steps);
    stepped(step.loads.map(inFairShares));
    redraw();
    refreshTable();
  });

  button.addEventListener("click", () => {
    if (!wanted) return start();
    rest();
    lab.call("stop", "train").then(finish, showError);
  });
  balance.addEventListener("change", () => {
    void lab.call("balance", balance.checked ? defaultCoefficient : 0);
    announce(balance.checked ? "The balance loss is on." : "The balance loss is off.");
  });
  const forget = (): void => {
    seen = [];
    turns = [];
    taken = 0;
    for (const id of ["num-step", "num-loss", "num-load", "num-use"]) byId(id).textContent = "–";
    emptied();
    redraw();
    refreshTable();
  };
  const reset = async (to: "random" | "carried"): Promise<void> => {
    clearError();
    const done = await app.change(async () => {
      await lab.call("reset", to);
      forget(); // not before: steps of the old model were still on their way
      return true;
    });
    if (!done) return;
    if (!wanted) ended();
    announce(to === "random" ? "The model has random weights now." : "The model has its trained weights again.");
  };
  fresh.addEventListener("click", () => void reset("random"));
  trained.addEventListener("click", () => void reset("carried"));
  byId("origin").textContent =
    toy.untrained === undefined
      ? `It learned from the text and sources of this library, and goes on with the ${toy.text}.`
      : `It knows nothing yet: ${toy.untrained}.`;
  for (const control of [button, balance, fresh]) control.disabled = false;
  trained.disabled = toy.untrained !== undefined;
  return {
    resume: () => {
      if (wanted) void run();
    },
    forget,
    redraw,
  };
}

function inFairShares(loads: Float32Array): Float32Array {
  const fair = mean(Array.from(loads));
  return loads.map((load) => load / fair);
}

function seenIn({ step, loss, auxLoss, coefficient, loads }: Step): Seen {
  const shares = loads.map(inFairShares);
  return {
    step,
    loss,
    auxLoss,
    load: mean(shares.map(maxOverMean)),
    // A tenth of a fair share: fewer than that is noise.
    inUse: shares.reduce((total, layer) => total + layer.filter((share) => share > 0.1).length, 0),
    balanced: coefficient > 0,
  };
}

function showNumbers({ step, loss, load, inUse }: Seen, experts: number): void {
  byId("num-step").textContent = String(step);
  byId("num-loss").textContent = loss.toFixed(3);
  byId("num-load").textContent = load.toFixed(1);
  byId("num-use").textContent = `${inUse} of ${experts}`;
}

/** Every so many steps, so that the table has at most 20 rows. */
function tableOf(seen: readonly Seen[]): HTMLTableElement {
  const every = Math.ceil(seen.length / 20);
  const rows = seen.filter((_, i) => i % every === 0 || i === seen.length - 1);
  return table(
    "Training",
    ["Step", "Loss", "Balance loss", "Peak / mean load", "Experts in use"],
    rows.map(({ step, loss, auxLoss, load, inUse, balanced }) => [
      String(step),
      loss.toFixed(3),
      `${auxLoss.toFixed(2)} (${balanced ? "on" : "off"})`,
      load.toFixed(1),
      String(inUse),
    ]),
  );
}
