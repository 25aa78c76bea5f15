// The free sum in five steps: R of H0, R of H1, their sum, its inverse x(g) = R(g) + 1/g, and G on the real line.

import { digits } from "./format.js";
import { cauchyAt } from "./laws.js";
import { spanOf } from "./density_view.js";
import { addHandle, describePlot, drawPlot, makePlot, placeHandle } from "./plot.js";
import { rTransform } from "./triple.js";

export const TITLES = [
  "R-transform of H₀", "R-transform of H₁", "For free matrices the R-transforms add", "Add 1/g: x(g) = R(g) + 1/g", "Invert: G(x) on the real line",
];

const WORDS = {
  1: () => "R₀(g) = 1 / (1 − φ g). Its value at g = 0 is the mean, 1; its slope there is the variance, φ.",
  2: (m) => m.activation === "linear"
    ? "R₁(g) = 2 ε g: a straight line, the R-transform of a semicircle of variance 2ε. All further free cumulants are zero."
    : "R₁(g) = ε φ g / (2 − ε φ² g²): symmetric jumps of ±φ √(ε/2), at rates 1/(2φ). Its slope at 0 is the variance, εφ/2.",
  3: () => "R(g) = R₀(g) + R₁(g) at every g: the bars at the dot have these lengths. Move the dot.",
  4: () => "x(g) is the inverse function of the Stieltjes transform G. Where x(g) falls, x lies off the support and G(x) = g. It is stationary at the edges of the support (the shaded bands): no real g is left for the points between them.",
  5: () => "Off the support G(x) is real: the branches of step 4, mirrored. On it G is complex; the density is −Im G(x + i0)/π.",
};

/** The range of g that belongs to points outside of the whole support, or also to its gaps, and a margin. */
function rangeOf(model, gaps) {
  const { roots } = model.hessian, ends = gaps ? roots : [roots[0], roots[roots.length - 1]];
  return [1.45 * Math.min(...ends.map((w) => 1 / w)), 1.45 * Math.max(...ends.map((w) => 1 / w))];
}

function curve(range, count, f) {
  const points = [];
  for (let k = 0; k <= count; k++) {
    const g = range[0] + ((range[1] - range[0]) * k) / count;
    points.push([g, f(g)]);
  }
  return points;
}

/** Break a curve where it jumps through a pole. */
function broken(points, size) {
  const out = [];
  points.forEach((point, k) => {
    if (k && Math.abs(point[1] - points[k - 1][1]) > size && Math.sign(point[1]) !== Math.sign(points[k - 1][1])) out.push([NaN, NaN]);
    out.push(point);
  });
  return out;
}

/** Draw into `host`; title, words and numbers go to `title` and `caption`. */
export function transformView(host, title, caption, store) {
  const plot = makePlot(host, { label: "R-transforms and the Stieltjes transform", xLabel: "g", yLabel: "", aspect: 0.62 });
  const handle = addHandle(plot, {
    label: "Where the transforms are read",
    moved: (g) => {
      const range = plot.reach;
      if (range) store.set({ probe: g < 0 ? -g / range[0] : g / range[1] });
    },
    stepped: (dx, dy) => store.set({ probe: store.state.probe + 0.02 * (dx || dy) }),
  });
  return {
    plot,
    draw(model, state) {
      const step = state.step, range = rangeOf(model, state.step === 4), none = () => 0;
      plot.reach = range;
      const R0 = (g) => rTransform(model.gaussNewton, g), R1 = model.residual ? (g) => rTransform(model.residual, g) : none;
      const R = (g) => R0(g) + R1(g);
      const g = state.probe < 0 ? -state.probe * range[0] : state.probe * range[1];
      title.textContent = `Step ${step} of 5. ${TITLES[step - 1]}`;
      let numbers = "";
      handle.style.display = step <= 3 ? "" : "none";
      if (step <= 3) {
        const shown = step === 2 ? R1 : R, unit = step === 2 ? 1e-9 : 1;
        const size = 1.6 * Math.max(...[0.45, 0.6, 0.7].map((s) => Math.max(Math.abs(shown(s * range[0])), Math.abs(shown(s * range[1])))), unit);
        const low = Math.min(0, R1(0.7 * range[0]), shown(0.7 * range[0])), frame = { x: range, y: [1.3 * low - 0.05 * size, size] };
        const layers = [{ kind: "vertical", css: "zero", x: 0 }, { kind: "horizontal", css: "zero", y: 0 }];
        const draw = (f, css, name, at) => {
          layers.push({ kind: "line", css, points: broken(curve(range, 160, f), size), text: name, at: [at, f(at)], dy: -0.6, anchor: "middle" });
        };
        if (step !== 2) draw(R0, "gauss-newton", "R₀", 0.8 * range[0]);
        if (step >= 2) draw(R1, "residual", "R₁", 0.75 * range[0]);
        if (step === 3) {
          draw(R, "hessian", "R = R₀ + R₁", 0.62 * range[1]);
          layers.push({ kind: "segment", css: "gauss-newton", from: [g, 0], to: [g, R0(g)] });
          layers.push({ kind: "segment", css: "residual", from: [g, R0(g)], to: [g, R(g)] });
        }
        plot.xLabel = "g";
        plot.yLabel = "R(g)";
        drawPlot(plot, frame, layers);
        const value = step === 1 ? R0(g) : step === 2 ? R1(g) : R(g);
        numbers = step === 3
          ? ` At g = ${digits(g, 3)}: ${digits(R0(g))} + ${digits(R1(g))} = <b>${digits(R(g))}</b>.`
          : ` At g = ${digits(g, 3)} it is <b>${digits(value)}</b>.`;
        placeHandle(plot, handle, g, value, { now: state.probe.toFixed(2), low: -1, high: 1, text: `g ${digits(g, 3)}, value ${digits(value)}` });
      } else {
        const span = spanOf(model), wide = span[1] - span[0], far = [span[0] - 0.25 * wide, span[1] + 0.25 * wide];
        const bands = [];
        for (let k = 0; k < model.edges.length; k += 2) bands.push([model.edges[k], model.edges[k + 1]]);
        if (step === 4) {
          const layers = bands.map((y) => ({ kind: "band", css: "hessian", y }));
          layers.push({ kind: "vertical", css: "zero", x: 0 }, { kind: "horizontal", css: "zero", y: 0 });
          const x = (u) => (u === 0 ? NaN : R(u) + 1 / u);
          layers.push({ kind: "line", css: "faint", points: broken(curve(range, 160, R), 3 * wide), text: "R(g)", at: [0.25 * range[1], R(0.25 * range[1])], dy: 1.4 });
          layers.push({ kind: "line", css: "hessian", points: broken(curve(range, 400, x), wide), text: "x(g)", at: [0.5 * range[1], x(0.5 * range[1])], dy: -0.6 });
          layers.push({ kind: "dots", css: "critical", points: model.hessian.roots.map((w, k) => [1 / w, model.edges[k]]) });
          plot.xLabel = "g";
          plot.yLabel = "x(g)";
          drawPlot(plot, { x: range, y: far }, layers);
          numbers = ` Stationary at g = ${model.hessian.roots.map((w) => digits(1 / w, 3)).join(", ")}; there x = <b>${model.edges.map((e) => digits(e)).join(", ")}</b>.`;
        } else {
          const points = [], imaginary = [], law = model.hessian, stops = [far[0], ...model.edges, far[1]];
          let top = 0;
          for (let k = 0; k + 1 < stops.length; k++) {
            for (let j = 1; j < 60; j++) {
              const x = stops[k] + (stops[k + 1] - stops[k]) * Math.sin((Math.PI * j) / 120) ** 2, [re, im] = cauchyAt(law, x);
              points.push([x, re]);
              imaginary.push([x, -im]);
              if (im !== 0) top = Math.max(top, -im, Math.abs(re));
            }
          }
          const most = Math.min(top, 24 / wide) * 1.15;
          const layers = bands.map((x) => ({ kind: "band", css: "hessian", x }));
          layers.push({ kind: "horizontal", css: "zero", y: 0 });
          layers.push({ kind: "line", css: "critical", points, text: "Re G", at: [far[1], points[points.length - 1][1]], anchor: "end", dy: -0.6 });
          const middle = imaginary.reduce((best, point) => (point[1] > best[1] && point[1] <= most ? point : best), [0, 0]);
          layers.push({ kind: "line", css: "hessian", points: imaginary, text: "−Im G = π × density", at: middle, dy: -0.5 });
          plot.xLabel = "x";
          plot.yLabel = "G(x + i0)";
          drawPlot(plot, { x: far, y: [-most, most] }, layers);
          numbers = ` Support: <b>${bands.map(([a, b]) => `[${digits(a)}, ${digits(b)}]`).join(" and ")}</b>.`;
        }
      }
      caption.innerHTML = WORDS[step](model) + numbers;
      describePlot(plot, `${title.textContent}. ${caption.textContent}`);
    },
  };
}
