// The index against the energy, with the critical energy and the current point.

import { digits } from "./format.js";
import { indexCurve } from "./model.js";
import { addHandle, describePlot, drawPlot, makePlot, placeHandle } from "./plot.js";
import { RANGES } from "./state.js";

/** Steps of the energy by arrow keys are 1 % of a decade. */
export const STEP = 10 ** 0.01;

/** Draw into `host`, say the numbers in `caption`. */
export function indexView(host, caption, store) {
  const plot = makePlot(host, { label: "Index against energy", xLabel: "energy ε", yLabel: "index α: share of negative eigenvalues", aspect: 0.62 });
  const handle = addHandle(plot, {
    label: "Energy, on the index curve",
    moved: (x) => store.set({ energy: x }),
    stepped: (dx, dy) => store.set({ energy: store.state.energy * STEP ** (dx || dy) }),
  });
  return {
    plot,
    draw(model, state, sample) {
      const { curve, small } = indexCurve(model.ratio, model.activation);
      const start = Math.min(1e-4, 10 ** Math.floor(Math.log10(Math.max(model.energy, 1e-6)) + 1e-9), model.critical > 0 ? Math.max(model.critical / 10, 1e-6) : 1);
      const layers = [];
      if (model.critical > 0) {
        layers.push({ kind: "band", css: "quiet", x: [start, model.critical] });
        layers.push({ kind: "vertical", css: "critical", x: model.critical, text: "critical energy", at: [model.critical, 0.52], anchor: "end" });
      }
      if (small.length) layers.push({ kind: "line", css: "small-law", points: small });
      layers.push({ kind: "line", css: "hessian", points: curve });
      if (sample) layers.push({ kind: "dots", css: "sample", points: [[sample.energy, sample.negative / sample.values.length]] });
      layers.push({ kind: "dots", css: "now", points: [[model.energy, model.index]] });
      const frame = { x: [start, 10], y: [0, 0.55], xLog: true };
      drawPlot(plot, frame, layers);
      const text = `energy ${digits(model.energy)}, index ${digits(model.index)}`;
      placeHandle(plot, handle, model.energy, model.index, { now: Math.log10(model.energy).toFixed(3), low: Math.log10(RANGES.energy[0]), high: 1, text });
      const relation = model.critical === 0
        ? "At ratios of one and above the critical energy is 0: every energy makes negative eigenvalues."
        : `Critical energy <b>${digits(model.critical, 6)}</b>; this energy is ${digits(model.energy / model.critical, 3)} times that.`;
      const asymptote = small.length ? " Dashed: the law of small indices, α₀ ((ε − ε<sub>c</sub>)/ε<sub>c</sub>)<sup>3/2</sup>." : "";
      caption.innerHTML = `Index <b>${digits(model.index, 6)}</b>. ${relation}${asymptote}${sample ? " Small dot: the sampled matrix." : ""}`;
      describePlot(plot, caption.textContent);
    },
  };
}
