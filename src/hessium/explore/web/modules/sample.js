// Eigenvalues of sampled matrices, computed after the laws are drawn and never twice at once.

import { eigenvalues, tridiagonal } from "./eigenvalues.js";
import { sampleHessian } from "./random.js";

let forms = { key: "", list: [] };

/** Tridiagonal forms of the matrices of a setting; a spike changes one number of each. */
function formsOf({ n, ratio, energy, activation, seed, pool }) {
  const key = [n, ratio, energy, activation, seed].join(" ");
  if (forms.key !== key) forms = { key, list: [] };
  while (forms.list.length < pool) {
    const A = sampleHessian(n, ratio, energy, activation, seed + 1000003 * forms.list.length);
    forms.list.push(tridiagonal(A, n));
  }
  return forms.list.slice(0, pool);
}

/** Eigenvalues of all matrices, without and with the spike. */
export function sampleOf(state) {
  const list = formsOf(state), values = [], spiked = [];
  for (const form of list) {
    values.push(...eigenvalues(form).values);
    const found = eigenvalues(form, state.spike), overlap = Math.max(...found.overlaps);
    spiked.push({ values: found.values, location: found.values[found.overlaps.indexOf(overlap)], overlap });
  }
  values.sort((a, b) => a - b);
  const zero = 4 * Math.sqrt(state.n) * 2 ** -52 * Math.max(-values[0], values[values.length - 1]);
  return {
    n: state.n, energy: state.energy, spike: state.spike, count: list.length, values, spiked,
    zeros: values.filter((v) => Math.abs(v) <= zero).length,
    negative: values.filter((v) => v < -zero).length,
    zero,
  };
}

/** Call `done(sample)` soon, for the newest setting only. */
export function makeSampler(done) {
  let wanted = null, waiting = false;
  const run = () => {
    waiting = false;
    const state = wanted;
    wanted = null;
    if (state) done(sampleOf(state));
  };
  return (state) => {
    wanted = state;
    if (waiting) return;
    waiting = true;
    // after the frame that shows the new laws
    requestAnimationFrame(() => setTimeout(run, 0));
  };
}

/** Bars [low, high, density] of values in equal cells; exact zeros can be left out. */
export function histogram(values, span, bins, weights = null) {
  const [low, high] = span, width = (high - low) / bins, heights = new Float64Array(bins);
  let total = 0;
  values.forEach((v, k) => {
    const weight = weights ? weights[k] : 1;
    total += weight;
    const cell = Math.floor((v - low) / width);
    if (cell >= 0 && cell < bins) heights[cell] += weight;
  });
  return Array.from(heights, (h, k) => [low + k * width, low + (k + 1) * width, h / (total * width)]);
}
