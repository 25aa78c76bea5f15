// The critical energy against the ratio: where the Hessian has negative eigenvalues.

import { digits } from "./format.js";
import { STEP } from "./index_view.js";
import { criticalEnergy } from "./laws.js";
import { addHandle, describePlot, drawPlot, makePlot, placeHandle } from "./plot.js";

function curveOf(activation) {
  const points = [];
  for (let k = 0; k <= 120; k++) {
    const ratio = Math.min(10 ** (-2 + (2 * k) / 116), 1 - 1e-9);
    points.push([ratio, criticalEnergy(ratio, activation)]);
  }
  return points;
}

const CURVES = { linear: curveOf("linear"), relu: curveOf("relu") };
// the energy at which, for ratios above one, the zeros of H0 meet the bulk (linear model)
const GAP = Array.from({ length: 80 }, (_, k) => {
  const ratio = 10 ** ((k + 0.2) / 79.2);
  return [ratio, 0.5 * ratio * (Math.cbrt(ratio) - 1) ** 3];
});

/** Draw into `host`, say the numbers in `caption`. */
export function phaseView(host, caption, store) {
  const plot = makePlot(host, { label: "Critical energy against ratio", xLabel: "ratio φ = parameters / (samples × outputs)", yLabel: "energy ε", aspect: 0.62 });
  const handle = addHandle(plot, {
    label: "Ratio and energy, left and right for the ratio, up and down for the energy",
    moved: (ratio, energy) => store.set({ ratio, energy }),
    stepped: (dx, dy) => store.set({ ratio: store.state.ratio * STEP ** dx, energy: store.state.energy * STEP ** dy }),
  });
  return {
    plot,
    draw(model) {
      const own = CURVES[model.activation], other = CURVES[model.activation === "linear" ? "relu" : "linear"];
      const layers = [
        { kind: "area", css: "quiet", points: own, text: "no negative eigenvalues", at: [0.012, 2.2e-5], anchor: "start" },
        { kind: "line", css: "faint", points: other, text: model.activation === "linear" ? "ReLU" : "linear", at: [0.2, criticalEnergy(0.2, model.activation === "linear" ? "relu" : "linear")], anchor: "start", dy: model.activation === "linear" ? -0.4 : 1.2 },
        { kind: "line", css: "critical", points: own, text: "critical energy", at: [0.016, criticalEnergy(0.016, model.activation)], anchor: "start", dy: model.activation === "linear" ? -0.6 : 1.4 },
      ];
      if (model.activation === "linear") layers.push({ kind: "line", css: "small-law", points: GAP, text: "gap closes", at: [2.1, 2e-3], anchor: "start" });
      layers.push({ kind: "dots", css: "now", points: [[model.ratio, model.energy]] });
      drawPlot(plot, { x: [0.01, 10], y: [1e-6, 10], xLog: true, yLog: true }, layers);
      const side = model.critical === 0 ? "no energy is without negative eigenvalues"
        : model.energy > model.critical ? "above the curve: negative eigenvalues" : "below the curve: none negative";
      const text = `ratio ${digits(model.ratio)}, energy ${digits(model.energy)}, ${side}`;
      placeHandle(plot, handle, model.ratio, model.energy, { now: Math.log10(model.ratio).toFixed(3), low: -2, high: 1, text });
      const gap = model.activation === "linear" && model.ratio > 1
        ? ` The eigenvalues near zero join the bulk at energy ${digits(0.5 * model.ratio * (Math.cbrt(model.ratio) - 1) ** 3)}.` : "";
      caption.innerHTML = `Ratio <b>${digits(model.ratio)}</b>, energy <b>${digits(model.energy)}</b>: ${side}.${gap}`;
      describePlot(plot, caption.textContent);
    },
  };
}
