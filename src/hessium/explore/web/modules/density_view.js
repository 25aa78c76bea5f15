// Densities of H, H0 and H1 with edges, atoms and the outlier of a spike.

import { digits, intervals } from "./format.js";
import { describePlot, drawPlot, makePlot } from "./plot.js";

const PEAK = 6; // times the mean height: higher peaks are cut off

/** The part of the axis that the laws take, with a margin. */
export function spanOf(model, extra = []) {
  const all = [model.low, model.high, ...model.gaussNewton.edges, 0, ...extra];
  const low = Math.min(...all), high = Math.max(...all), margin = 0.06 * (high - low);
  return [low - margin, high + margin];
}

/** A height that shows the curve, and whether a peak is cut off. */
export function heightOf(curves, span) {
  let top = 0;
  for (const curve of curves) for (const [, y] of curve) top = Math.max(top, y);
  const most = PEAK / (0.8 * (span[1] - span[0]));
  return { top: 1.12 * Math.min(top, most), cut: top > most };
}

/** Draw into `host`, say the numbers in `caption`. */
export function densityView(host, caption) {
  const plot = makePlot(host, { label: "Densities of the limit laws", xLabel: "eigenvalue λ", yLabel: "density", aspect: 0.5 });
  return {
    plot,
    draw(model, state) {
      const parts = state.parts, wide = parts.includes("1") && model.residual ? model.residual.edges : [];
      const span = spanOf(model, model.outlier ? [model.outlier.location, ...wide] : wide);
      const { top, cut } = heightOf([...model.curves.hessian, ...(parts.includes("0") ? model.curves.gaussNewton : [])], span);
      const log = state.log === 1, floor = log ? 1e-4 / (span[1] - span[0]) : 0;
      let high = top;
      if (log) for (const curve of model.curves.hessian) for (const [, y] of curve) high = Math.max(high, 2 * y);
      const lift = (curve) => (log ? curve.map(([x, y]) => [x, Math.max(y, floor)]) : curve);
      const layers = [];
      const show = (curves, css) => curves.forEach((curve) => layers.push({ kind: "line", css, points: lift(curve) }));
      if (parts.includes("h")) {
        for (const curve of model.curves.hessian) {
          layers.push({ kind: "area", css: "hessian", points: lift(curve), base: floor });
          const below = curve.filter(([x]) => x < 0);
          if (below.length > 1) layers.push({ kind: "area", css: "negative", points: lift(below), base: floor });
        }
      }
      if (parts.includes("1") && model.residual) show(model.curves.residual, "residual");
      if (parts.includes("0")) show(model.curves.gaussNewton, "gauss-newton");
      if (parts.includes("h")) show(model.curves.hessian, "hessian");
      layers.push({ kind: "vertical", css: "zero", x: 0 });
      if (parts.includes("h")) for (const edge of model.edges) layers.push({ kind: "vertical", css: "edge", x: edge });
      const atoms = [
        ["h", model.hessian, "hessian", "H"], ["0", model.gaussNewton, "gauss-newton", "H₀"], ["1", model.residual, "residual", "H₁"],
      ].filter(([key, law]) => parts.includes(key) && law && law.atom);
      atoms.forEach(([, law, css, name], k) => {
        const tip = log ? high / 2 : high * (0.93 - 0.1 * k);
        layers.push({ kind: "stem", css, x: 0, y: tip, text: `${name}: atom ${digits(law.atom, 3)}`, at: [0, high], dy: 0.2 + 1.3 * k, anchor: "start" });
      });
      if (model.outlier) {
        layers.push({ kind: "stem", css: "spike", x: model.outlier.location, y: log ? high / 30 : high * 0.35, text: "outlier", at: [model.outlier.location, log ? high / 24 : high * 0.4], anchor: "middle" });
      }
      drawPlot(plot, { x: span, y: [floor, high], yLog: log }, layers);
      const words = [
        `Support of H: <b>${intervals(model.edges)}</b>`,
        model.hessian.atom ? `atom of H at 0: <b>${digits(model.hessian.atom)}</b>` : "no atom in H",
        model.gaussNewton.atom ? `of H₀: <b>${digits(model.gaussNewton.atom)}</b>` : "",
        `share below zero: <b>${digits(model.index)}</b>`,
      ].filter(Boolean);
      const note = cut && !log ? " Peaks are cut off at the top; a log axis shows them." : "";
      caption.innerHTML = `${words.join("; ")}.${note}`;
      describePlot(plot, `${caption.textContent}`);
    },
  };
}
