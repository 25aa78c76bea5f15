// Sliders, number fields, switches, buttons and keys.

import { digits, plain } from "./format.js";
import { criticalEnergy } from "./laws.js";
import { RANGES } from "./state.js";

const byId = (id) => document.getElementById(id);

/** A slider and the number field beside it; logarithmic for ratio and energy. */
function slider(name, log, words, store) {
  const range = byId(name), number = byId(`${name}-number`);
  const [low, high] = RANGES[name].map((v) => (log ? Math.log10(v) : v));
  Object.assign(range, { min: low, max: high, step: log ? 0.005 : 1 });
  Object.assign(number, { min: RANGES[name][0], max: RANGES[name][1], step: "any" });
  range.addEventListener("input", () => store.set({ [name]: log ? 10 ** Number(range.value) : Number(range.value) }));
  number.addEventListener("change", () => {
    if (number.value !== "" && number.checkValidity()) store.set({ [name]: Number(number.value) });
    number.value = plain(store.state[name], 4);
  });
  return (state) => {
    const place = log ? Math.log10(state[name]) : state[name];
    if (Math.abs(Number(range.value) - place) > (log ? 0.0026 : 1e-9)) range.value = place;
    if (document.activeElement !== number) number.value = plain(state[name], 4);
    range.setAttribute("aria-valuetext", `${words} ${digits(state[name], 4)}`);
  };
}

/** Connect the controls with the settings. */
export function connectControls(store, runs) {
  const shown = [
    slider("ratio", true, "ratio", store), slider("energy", true, "energy", store), slider("n", false, "size", store),
    slider("spike", false, "spike", store),
  ];
  byId("spike").step = "any";
  const radios = [...document.querySelectorAll("input[name=activation]")];
  for (const radio of radios) radio.addEventListener("change", () => store.set({ activation: radio.value }));
  const parts = ["h", "0", "1"].map((key) => [key, byId(`part-${key}`)]);
  for (const [, box] of parts) {
    box.addEventListener("change", () => store.set({ parts: parts.filter(([, b]) => b.checked).map(([key]) => key).join("") }));
  }
  byId("log").addEventListener("change", (event) => store.set({ log: event.target.checked ? 1 : 0 }));
  byId("pool").addEventListener("change", (event) => store.set({ pool: event.target.checked ? 10 : 1 }));
  const draw = () => store.set({ seed: (store.state.seed + 1) % 2 ** 31 });
  const toCritical = () => {
    const energy = criticalEnergy(store.state.ratio, store.state.activation);
    if (energy > 0) store.set({ energy });
  };
  const turn = (by) => store.set({ step: store.state.step + by });
  byId("draw").addEventListener("click", draw);
  byId("critical").addEventListener("click", toCritical);
  byId("back").addEventListener("click", () => turn(-1));
  byId("next").addEventListener("click", () => turn(1));
  const themes = ["auto", "light", "dark"];
  byId("theme").addEventListener("click", () => store.set({ theme: themes[(themes.indexOf(store.state.theme) + 1) % 3] }));
  byId("print").addEventListener("click", () => window.print());
  byId("copy").addEventListener("click", async () => {
    const said = byId("said");
    try {
      await navigator.clipboard.writeText(location.href);
      said.textContent = "The link to these settings is in the clipboard.";
    } catch {
      said.textContent = `Copy the address of this page: ${location.href}`;
    }
  });
  const keys = {
    n: draw, c: toCritical, a: () => store.set({ activation: store.state.activation === "linear" ? "relu" : "linear" }),
    s: () => store.set({ step: (store.state.step % 5) + 1 }), l: () => store.set({ log: 1 - store.state.log }),
  };
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches?.("input[type=number], textarea, select");
    if (typing || event.ctrlKey || event.metaKey || event.altKey || !byId("shortcuts").checked) return;
    const action = Object.hasOwn(keys, event.key) ? keys[event.key] : null;
    if (action) {
      event.preventDefault();
      action();
    }
  });
  if (runs.length) {
    const select = byId("overlay");
    runs.forEach((run, k) => select.append(new Option(run.label, k)));
    select.addEventListener("change", () => store.set({ overlay: Number(select.value) }));
  }
  return (state) => {
    for (const one of shown) one(state);
    for (const radio of radios) radio.checked = radio.value === state.activation;
    for (const [key, box] of parts) box.checked = state.parts.includes(key);
    byId("log").checked = state.log === 1;
    byId("pool").checked = state.pool === 10;
    byId("back").disabled = state.step === 1;
    byId("next").disabled = state.step === 5;
    byId("theme").textContent = `Colours: ${state.theme}`;
    byId("critical").disabled = criticalEnergy(state.ratio, state.activation) === 0;
    byId("settings").textContent = `ratio ${digits(state.ratio)}, energy ${digits(state.energy)}, ${state.activation}, n = ${state.n}, spike ${digits(state.spike)}`;
    if (runs.length) byId("overlay").value = String(Math.max(state.overlay, 0));
    if (state.theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = state.theme;
  };
}
