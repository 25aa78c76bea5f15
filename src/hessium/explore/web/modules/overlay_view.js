// Measured spectra, put into the page when it was made, beside the law.

import { digits, escape } from "./format.js";
import { heightOf, spanOf } from "./density_view.js";
import { describePlot, drawPlot, makePlot } from "./plot.js";
import { histogram } from "./sample.js";

const PARTS = [["hessian", "H", "hessian"], ["gauss_newton", "H₀", "gauss-newton"], ["residual", "H₁", "residual"]];

/** Mean and variance of the stored eigenvalues. */
export function momentsOf({ values, weights }) {
  let total = 0, mean = 0, square = 0;
  values.forEach((v, k) => {
    const weight = weights ? weights[k] : 1;
    total += weight;
    mean += weight * v;
    square += weight * v * v;
  });
  mean /= total;
  return { mean, variance: square / total - mean * mean };
}

/** The eigenvalue unit in which the mean of H0 is 1; of H where H0 was not measured. */
export function unitOf(run) {
  const from = run.spectra.gauss_newton || run.spectra.hessian;
  const { mean } = momentsOf(from);
  return mean > 0 ? mean : 1;
}

/** The energy at which H1 of the model has the variance that was measured, or null. */
export function energyOf(run, ratio, activation) {
  if (!run.spectra.residual) return null;
  const { variance } = momentsOf(run.spectra.residual), unit = unitOf(run);
  const own = variance / (unit * unit);
  return activation === "linear" ? own / 2 : (2 * own) / ratio;
}

/** Draw into `host`, say the numbers in `caption`. */
export function overlayView(host, caption, runs) {
  const plot = makePlot(host, { label: "Measured spectrum beside the limit law", xLabel: "eigenvalue λ / mean of H₀", yLabel: "density", aspect: 0.3 });
  return {
    plot,
    draw(model, state) {
      const run = runs[state.overlay < 0 ? 0 : Math.min(state.overlay, runs.length - 1)];
      const unit = unitOf(run), shown = PARTS.filter(([name]) => run.spectra[name]);
      const keys = { hessian: "h", gauss_newton: "0", residual: "1" };
      const chosen = shown.filter(([name]) => state.parts.includes(keys[name]));
      const parts = chosen.length ? chosen : shown.slice(0, 1);
      // outliers of a network lie far away: the axis ends where the law does, or 98 % of the values
      const ends = [];
      for (const [name] of parts) {
        const { values } = run.spectra[name];
        ends.push(values[Math.floor(0.01 * (values.length - 1))] / unit, values[Math.ceil(0.99 * (values.length - 1))] / unit);
      }
      const span = spanOf(model, ends);
      const layers = [];
      let beyond = 0, top = heightOf(model.curves.hessian, span).top;
      for (const [name, , css] of parts) {
        const { values, weights } = run.spectra[name], scaled = values.map((v) => v / unit);
        beyond = Math.max(beyond, scaled.filter((v) => v < span[0] || v > span[1]).length);
        layers.push({ kind: "steps", css, bars: histogram(scaled, span, 64, weights) });
      }
      for (const curve of model.curves.hessian) layers.push({ kind: "line", css: "law", points: curve });
      layers.push({ kind: "vertical", css: "zero", x: 0 });
      drawPlot(plot, { x: span, y: [0, top * 1.2] }, layers);
      const words = parts.map(([name, label]) => {
        const { mean, variance } = momentsOf(run.spectra[name]);
        return `${label}: mean ${digits(mean / unit, 3)}, variance ${digits(variance / unit ** 2, 3)}`;
      });
      const outside = beyond ? ` ${beyond} values lie outside the axis.` : "";
      caption.innerHTML = `<b>${escape(run.label)}</b>${run.ratio ? `, ratio ${digits(run.ratio, 4)}` : ""}. In units of ${digits(unit, 4)}: ${words.join("; ")}. ` +
        `Steps: measured; smooth curve: the law of H at these settings.${outside}${run.note ? ` ${escape(run.note)}` : ""}`;
      describePlot(plot, caption.textContent);
    },
  };
}
