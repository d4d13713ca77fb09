// The page: starts the worker, then its panels, and tells each what the others do.
import { fact, megabytes, showError, showProgress, type App } from "./app.js";
import { mountAttention } from "./attention.js";
import { mountBackends } from "./backends.js";
import { startWorker } from "./client.js";
import { mountTheme } from "./colors.js";
import { byId } from "./elements.js";
import { mountFormats } from "./formats.js";
import { mountLoads } from "./loads.js";
import { mountOffline } from "./offline.js";
import { mountTraining } from "./training.js";
import { mountWriting } from "./writing.js";

const redraws: (() => void)[] = [];
const redraw = (): void => redraws.forEach((draw) => draw());
mountTheme(byId("theme"), redraw);
addEventListener("resize", redraw);

async function start(): Promise<void> {
  const lab = startWorker();
  lab.on("progress", ({ what, done, total }) => showProgress(what, done / total));
  const { toy, running } = await lab.call("start", location.href);
  showProgress("", 1);
  byId("experts-count").textContent = String(toy.numExperts);
  byId("made-of").textContent =
    `${toy.numLayers} layers, ${toy.numExperts} experts each, ${toy.numExpertsPerTok} per token`;

  const app: App = {
    lab,
    toy,
    async change(job) {
      try {
        return await job();
      } catch (error) {
        showError(error);
        return undefined;
      } finally {
        writing.write();
        training.resume();
      }
    },
  };
  const loads = mountLoads(app);
  const attention = mountAttention(app);
  const writing = mountWriting(app, {
    begun: () => loads.clearWriting(),
    wrote: (tokens) => loads.wrote(tokens),
    ended: (tokensPerSecond) => {
      formats.wrote(tokensPerSecond);
      attention.look(writing.ids);
    },
    selected: (index) => attention.select(index, writing.ids),
  });
  const training = mountTraining(app, {
    stepped: (shares) => loads.stepped(shares),
    ended: () => formats.measure(),
    reset: () => loads.clearTraining(),
  });
  redraws.push(
    () => loads.redraw(),
    () => attention.redraw(),
    () => training.redraw(),
  );
  redraw();
  const formats = mountFormats(app); // measures the model, and then it writes
  setInterval(() => {
    lab.call("usage").then(
      ({ bytes, scratch }) => fact("memory", megabytes(bytes + scratch)),
      () => undefined,
    );
  }, 1000);
  await mountBackends(app, running, {
    forgot() {
      training.forget();
      formats.measure();
    },
  });
}

mountOffline();
start().catch((error: unknown) => {
  showProgress("", 1);
  showError(error);
});
