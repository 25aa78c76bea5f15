// A spike theta u u^T added to H: the outlier that it makes, and how far its eigenvector points along u.

import { digits } from "./format.js";
import { outlierOf } from "./model.js";
import { addHandle, describePlot, drawPlot, makePlot, placeHandle } from "./plot.js";

/** Draw into `host` and `overlapHost`, say the numbers in `caption`. */
export function spikeView(host, overlapHost, caption, store) {
  const stepped = (dx, dy) => store.set({ spike: store.state.spike + (plot.stride || 0.02) * (dx || dy) });
  const moved = (theta) => store.set({ spike: theta });
  const plot = makePlot(host, { label: "Outlier against the strength of a spike", xLabel: "spike θ", yLabel: "eigenvalue", aspect: 0.5 });
  const overlap = makePlot(overlapHost, { label: "Overlap of the outlier's eigenvector with the spike", xLabel: "spike θ", yLabel: "overlap |⟨u, v⟩|²", aspect: 0.3 });
  const handle = addHandle(plot, { label: "Strength of the spike", css: "spike", moved, stepped });
  return {
    plots: [plot, overlap],
    draw(model, state, sample) {
      const law = model.hessian, { roots, edges } = law, last = roots.length - 1;
      const size = roots[last] - roots[0];
      const range = [Math.min(roots[0] - 0.8 * size, state.spike - 0.1 * size), Math.max(roots[last] + 2 * size, state.spike + 0.1 * size)];
      plot.stride = size / 100;
      const places = [], overlaps = [], layers = [], quiet = [];
      for (let k = 0; k <= 240; k++) {
        const theta = range[0] + ((range[1] - range[0]) * k) / 240, found = outlierOf(law, theta);
        places.push([theta, found ? found.location : NaN]);
        overlaps.push([theta, found ? found.overlap : 0]);
      }
      roots.forEach((w, k) => places.push([w, NaN], [w, edges[k]], [w, NaN])); // lines end at the edges
      places.sort((a, b) => a[0] - b[0]);
      for (let k = 0; k < roots.length; k += 2) {
        layers.push({ kind: "band", css: "hessian", y: [edges[k], edges[k + 1]] });
        layers.push({ kind: "vertical", css: "critical", x: roots[k] }, { kind: "vertical", css: "critical", x: roots[k + 1] });
        quiet.push({ kind: "vertical", css: "critical", x: roots[k] }, { kind: "vertical", css: "critical", x: roots[k + 1] });
      }
      layers.push({ kind: "line", css: "faint", points: [[range[0], range[0]], [range[1], range[1]]], text: "λ = θ", at: [range[0] + 0.9 * (range[1] - range[0]), range[0] + 0.9 * (range[1] - range[0])], dy: 1.6 });
      layers.push({ kind: "line", css: "spike", points: places });
      if (sample) layers.push({ kind: "dots", css: "sample", points: sample.spiked.flatMap((one) => one.values.map((v) => [sample.spike, v])) });
      const spread = 0.12 * (edges[last] - edges[0]);
      const ends = [range[0], range[1]].map((theta) => outlierOf(law, theta)).filter(Boolean).map((found) => found.location);
      const frame = { x: range, y: [Math.min(edges[0] - spread, ...ends), Math.max(edges[last] + spread, ...ends)] };
      layers.push({ kind: "dots", css: "now", points: model.outlier ? [[state.spike, model.outlier.location]] : [] });
      drawPlot(plot, frame, layers);
      quiet.push({ kind: "line", css: "spike", points: overlaps }, { kind: "vertical", css: "now", x: state.spike });
      if (sample) quiet.push({ kind: "dots", css: "sample", points: sample.spiked.map((one) => [sample.spike, one.overlap]) });
      drawPlot(overlap, { x: range, y: [0, 1] }, quiet);
      const found = model.outlier;
      const edge = state.spike < 0 ? edges[0] : edges[last];
      const text = found
        ? `The spike θ = <b>${digits(state.spike)}</b> makes an outlier at <b>${digits(found.location)}</b>; overlap <b>${digits(found.overlap, 3)}</b>.`
        : `The spike θ = <b>${digits(state.spike)}</b> is below the threshold: no outlier, and the extreme eigenvalue stays at the edge, ${digits(edge)}.`;
      const measured = sample
        ? ` In the sampled matrix the eigenvector closest to u has the eigenvalue ${digits(sample.spiked[0].location)} and the overlap ${digits(sample.spiked[0].overlap, 3)}.` : "";
      caption.innerHTML = `${text} Thresholds (vertical lines): θ = ${roots.map((w) => digits(w)).join(", ")}.${measured}`;
      placeHandle(plot, handle, state.spike, found ? found.location : edge, {
        now: state.spike.toFixed(3), low: range[0].toFixed(2), high: range[1].toFixed(2),
        text: found ? `spike ${digits(state.spike, 3)}, outlier at ${digits(found.location, 3)}` : `spike ${digits(state.spike, 3)}, no outlier`,
      });
      describePlot(plot, caption.textContent);
      describePlot(overlap, found ? `Overlap ${digits(found.overlap, 3)}` : "Overlap 0, no outlier");
    },
  };
}
