// A sampled matrix beside the law.

import { digits } from "./format.js";
import { heightOf, spanOf } from "./density_view.js";
import { describePlot, drawPlot, makePlot } from "./plot.js";
import { histogram } from "./sample.js";

/** Draw into `host`, say the numbers in `caption`. */
export function sampleView(host, caption) {
  const plot = makePlot(host, { label: "Eigenvalues of a sampled matrix beside the limit law", xLabel: "eigenvalue λ", yLabel: "density", aspect: 0.5 });
  return {
    plot,
    draw(model, state, sample) {
      const values = sample ? sample.values : [];
      const span = spanOf(model, values.length ? [values[0], values[values.length - 1]] : []);
      const { top } = heightOf(model.curves.hessian, span);
      const layers = [];
      if (sample) {
        const bins = Math.min(Math.max(Math.round(3.2 * Math.cbrt(values.length)), 12), 40) * (model.edges.length / 2);
        const kept = model.hessian.atom ? values.filter((v) => Math.abs(v) > sample.zero) : values;
        const share = kept.length / values.length;
        const bars = histogram(kept, span, bins).map(([a, b, y]) => [a, b, y * share]);
        layers.push({ kind: "bars", css: "sample", bars });
      }
      for (const curve of model.curves.hessian) layers.push({ kind: "line", css: "hessian", points: curve });
      layers.push({ kind: "vertical", css: "zero", x: 0 });
      if (sample && sample.count === 1) layers.push({ kind: "rug", css: "sample", x: values });
      drawPlot(plot, { x: span, y: [0, top * 1.15] }, layers);
      if (!sample) return;
      const total = values.length, first = values[0], last = values[total - 1];
      const zeros = model.hessian.atom ? ` Exact zeros: ${sample.zeros} of ${total}, a share of <b>${digits(sample.zeros / total, 3)}</b>; atom of the law ${digits(model.hessian.atom, 3)}.` : "";
      caption.innerHTML =
        `${sample.count === 1 ? "One matrix" : `${sample.count} matrices`} of size n = ${sample.n}. Negative eigenvalues: ${sample.negative} of ${total}, ` +
        `a share of <b>${digits(sample.negative / total, 3)}</b>; index of the law ${digits(model.index, 3)}.${zeros} ` +
        `Smallest ${digits(first, 3)} (edge ${digits(model.low, 3)}), largest ${digits(last, 3)} (edge ${digits(model.high, 3)}).`;
      describePlot(plot, caption.textContent);
    },
  };
}
