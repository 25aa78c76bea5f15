// From the settings to all pictures.

import { connectControls } from "./controls.js";
import { densityView } from "./density_view.js";
import { showExercises } from "./exercises.js";
import { indexView } from "./index_view.js";
import { api } from "./laws.js";
import { modelOf } from "./model.js";
import { energyOf, overlayView } from "./overlay_view.js";
import { phaseView } from "./phase_view.js";
import { measurePlot } from "./plot.js";
import { makeSampler } from "./sample.js";
import { sampleView } from "./sample_view.js";
import { spikeView } from "./spike_view.js";
import { linkOf, makeStore, readLink } from "./state.js";
import { transformView } from "./transform_view.js";

const get = (id) => document.getElementById(id);
const runs = JSON.parse(get("overlays").textContent);
const store = makeStore(readLink(location.hash));

const views = {
  density: densityView(get("density-plot"), get("density-words")),
  sample: sampleView(get("sample-plot"), get("sample-words")),
  index: indexView(get("index-plot"), get("index-words"), store),
  phase: phaseView(get("phase-plot"), get("phase-words"), store),
  transform: transformView(get("transform-plot"), get("transform-title"), get("transform-words"), store),
  spike: spikeView(get("spike-plot"), get("overlap-plot"), get("spike-words"), store),
};
if (runs.length) {
  get("overlay-card").hidden = false;
  views.overlay = overlayView(get("overlay-plot"), get("overlay-words"), runs);
}

const SAMPLED = ["ratio", "energy", "activation", "n", "seed", "pool", "spike"];
// what a change of one setting leaves as it is
const UNTOUCHED = {
  n: ["density", "phase", "transform", "overlay"], seed: ["density", "phase", "transform", "overlay"], pool: ["density", "phase", "transform", "overlay"],
  step: ["density", "sample", "index", "phase", "spike", "overlay"], probe: ["density", "sample", "index", "phase", "spike", "overlay"],
  spike: ["sample", "index", "phase", "transform", "overlay"], parts: ["sample", "index", "phase", "transform", "spike"],
  log: ["sample", "index", "phase", "transform", "spike", "overlay"], overlay: ["density", "sample", "index", "phase", "transform", "spike"],
  theme: Object.keys(views),
};

let model = modelOf(store.state), sample = null;
const showControls = connectControls(store, runs);

function drawAll(names) {
  const still = (view) => names.every((name) => (UNTOUCHED[name] || []).includes(view));
  if (names.some((name) => ["ratio", "energy", "activation", "spike"].includes(name))) model = modelOf(store.state);
  if (names.some((name) => SAMPLED.includes(name))) {
    if (names.some((name) => ["ratio", "energy", "activation"].includes(name)) && sample) sample = { ...sample, stale: true };
  }
  const drawn = sample && !sample.stale ? sample : null;
  for (const [name, view] of Object.entries(views)) if (!still(name)) view.draw(model, store.state, drawn || (name === "sample" ? sample : null));
}

const requestSample = makeSampler((found) => {
  sample = found;
  const started = performance.now();
  for (const name of ["sample", "index", "spike"]) views[name].draw(model, store.state, sample);
  timing.sampled = performance.now() - started;
});

/** How long the last redraws took, in milliseconds; read by the tests. */
const timing = { redraws: [], sampled: 0 };

let linking = 0, pending = new Set();
function redraw() {
  const names = [...pending], started = performance.now();
  pending = new Set();
  showControls(store.state);
  drawAll(names);
  timing.redraws.push(performance.now() - started);
  if (timing.redraws.length > 1000) timing.redraws.shift();
  if (names.some((name) => SAMPLED.includes(name))) requestSample(store.state);
}

store.listen((state, names) => {
  if (!pending.size) requestAnimationFrame(redraw); // once a frame, however many events it brings
  for (const name of names) pending.add(name);
  clearTimeout(linking);
  linking = setTimeout(() => history.replaceState(null, "", linkOf(store.state)), 250);
});
window.addEventListener("hashchange", () => store.set(readLink(location.hash)));

const plots = Object.values(views).flatMap((view) => view.plots || [view.plot]);
let width = 0;
new ResizeObserver(() => {
  const now = document.documentElement.clientWidth;
  if (now === width) return;
  width = now;
  plots.forEach(measurePlot);
  for (const view of Object.values(views)) view.draw(model, store.state, sample);
}).observe(document.documentElement);

if (runs.length) {
  get("take").addEventListener("click", () => {
    const run = runs[Math.max(store.state.overlay, 0)], ratio = run.ratio || store.state.ratio;
    const energy = energyOf(run, ratio, store.state.activation);
    store.set(energy ? { ratio, energy } : { ratio });
  });
}
showExercises(get("exercise-list"), store);
showControls(store.state);
requestSample(store.state);

window.hessium = Object.freeze({ ...api, set: (changes) => store.set(changes), settings: () => ({ ...store.state }), timing });
document.documentElement.dataset.ready = "yes";
