// From the settings to all pictures.

import { forgetColours } from "./colours.js";
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
// the settings that a picture shows
const LAW = ["ratio", "energy", "activation"];
const SHOWS = {
  density: [...LAW, "spike", "parts", "log"], sample: [...LAW, "n", "seed", "pool"], index: [...LAW, "n", "seed", "pool"],
  phase: LAW, transform: [...LAW, "step", "probe"], spike: [...LAW, "spike", "n", "seed"], overlay: [...LAW, "parts", "overlay"],
};
const names = Object.keys(views);

let model = modelOf(store.state), sample = null;
const showControls = connectControls(store, runs);

/** How long the last redraws took, in milliseconds. */
const timing = { redraws: [], sampled: 0 };

// pictures in sight are drawn at once, the others when the settings have come to rest or they come into sight
const old = new Set(names), seen = new Set();
function draw(list) {
  for (const name of list) {
    old.delete(name);
    views[name].draw(model, store.state, sample); // the last sample, at its own settings, until the new one is there
  }
}

/** The slider of the spike reaches past both thresholds of the present law. */
function fitSpike() {
  const { roots } = model.hessian, first = roots[0], last = roots[roots.length - 1], size = last - first, slider = get("spike");
  slider.min = Math.min(first - 0.8 * size, store.state.spike).toPrecision(4);
  slider.max = Math.max(last + 2 * size, store.state.spike).toPrecision(4);
  slider.value = store.state.spike;
}

const requestSample = makeSampler((found) => {
  const started = performance.now();
  sample = found;
  const list = ["sample", "index", "spike"];
  for (const name of list) old.add(name);
  draw(list.filter((name) => seen.has(name)));
  rest();
  timing.sampled = performance.now() - started;
});

let resting = 0, linking = 0, pending = new Set();
function rest() {
  clearTimeout(resting);
  resting = setTimeout(() => draw([...old]), 200);
}

function redraw() {
  const changed = [...pending], started = performance.now();
  pending = new Set();
  const touched = (list) => changed.some((name) => list.includes(name));
  if (touched([...LAW, "spike"])) {
    model = modelOf(store.state);
    fitSpike();
  }
  showControls(store.state);
  if (changed.includes("theme")) forgetColours();
  for (const name of names) if (changed.includes("theme") || touched(SHOWS[name])) old.add(name);
  draw([...old].filter((name) => seen.has(name)));
  rest();
  timing.redraws.push(performance.now() - started);
  if (timing.redraws.length > 1000) timing.redraws.shift();
  if (touched(SAMPLED)) requestSample(store.state);
}

store.listen((state, changed) => {
  if (!pending.size) requestAnimationFrame(redraw); // once a frame, however many events it brings
  for (const name of changed) pending.add(name);
  clearTimeout(linking);
  linking = setTimeout(() => history.replaceState(null, "", linkOf(store.state)), 250);
});
window.addEventListener("hashchange", () => store.set(readLink(location.hash)));

const watch = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    const name = target.id.replace("-card", "");
    if (isIntersecting) seen.add(name);
    else seen.delete(name);
  }
  draw([...old].filter((name) => seen.has(name)));
}, { rootMargin: "60px" });
for (const name of names) watch.observe(get(`${name}-card`));

const plots = Object.values(views).flatMap((view) => view.plots || [view.plot]);
function drawAnew(sharpness) {
  forgetColours();
  for (const plot of plots) measurePlot(plot, sharpness);
  draw(names);
}
let width = 0;
new ResizeObserver(() => requestAnimationFrame(() => {
  const now = document.documentElement.clientWidth;
  if (now !== width) drawAnew();
  width = now;
})).observe(document.documentElement);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawAnew());
// on paper: light colours, and three points for each of the screen
matchMedia("print").addEventListener("change", (event) => drawAnew(event.matches ? 3 : undefined));
window.addEventListener("beforeprint", () => drawAnew(3));
window.addEventListener("afterprint", () => drawAnew());

if (runs.length) {
  get("take").addEventListener("click", () => {
    const run = runs[Math.max(store.state.overlay, 0)], ratio = run.ratio || store.state.ratio;
    const energy = energyOf(run, ratio, store.state.activation);
    store.set(energy ? { ratio, energy } : { ratio });
  });
}
showExercises(get("exercise-list"), store);
showControls(store.state);
forgetColours();
fitSpike();
requestSample(store.state);

window.hessium = Object.freeze({ ...api, set: (changes) => store.set(changes), settings: () => ({ ...store.state }), timing });
document.documentElement.dataset.ready = "yes";
