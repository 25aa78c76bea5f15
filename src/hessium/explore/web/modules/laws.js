// The laws of H0, H1 and H = H0 + H1: density, edges, atoms, index, critical energy.
//
// Conventions of hessium.theory: ratio = parameters / (samples x outputs); energy = loss / outputs; the mean
// of H0 is 1. Linear: H1 is a semicircle of variance 2 energy (Pennington and Bahri 2017, eq. 16); relu: jumps
// of +-ratio sqrt(energy / 2) at rates 1 / (2 ratio) (eq. 28).

import { inside } from "./half_plane.js";
import { makeTriple, massBelow, position } from "./triple.js";

export const ACTIVATIONS = ["linear", "relu"];

/** Refuse what is no setting, by name. */
export function checkSetting(ratio, energy, activation) {
  if (!(ratio > 0 && isFinite(ratio))) throw new RangeError(`ratio: ${ratio}; a number > 0 is required`);
  if (!(energy >= 0 && isFinite(energy))) throw new RangeError(`energy: ${energy}; a number >= 0 is required`);
  if (!ACTIVATIONS.includes(activation)) {
    throw new RangeError(`activation: ${activation}; "linear" or "relu" is required`);
  }
}

function residualParts(ratio, energy, activation) {
  if (energy === 0) return { variance: 0, jumps: [] };
  if (activation === "linear") return { variance: 2 * energy, jumps: [] };
  const share = 0.5 / ratio, jump = ratio * Math.sqrt(energy / 2);
  return { variance: 0, jumps: [[share, -jump], [share, jump]] };
}

/** The law of H0: Marchenko-Pastur. Its edges are known in closed form. */
export function gaussNewtonLaw(ratio) {
  const triple = makeTriple(0, [[1 / ratio, ratio]]);
  const root = Math.sqrt(ratio), lower = (1 - ratio) / (1 + root);
  triple.edges = [lower * lower, (1 + root) ** 2];
  return triple;
}

/** The law of H1; null at energy 0, where H1 = 0. */
export function residualLaw(ratio, energy, activation) {
  if (energy === 0) return null;
  const { variance, jumps } = residualParts(ratio, energy, activation);
  return makeTriple(variance, jumps);
}

/** The law of H = H0 + H1, free of each other. */
export function hessianLaw(ratio, energy, activation) {
  if (energy === 0) return gaussNewtonLaw(ratio);
  const { variance, jumps } = residualParts(ratio, energy, activation);
  return makeTriple(variance, [[1 / ratio, ratio], ...jumps]);
}

/** The interval of the support that holds x strictly, or -1. */
function cutOf(triple, x) {
  for (let k = 0; k < triple.edges.length; k += 2) {
    if (x > triple.edges[k] && x < triple.edges[k + 1]) return k / 2;
  }
  return -1;
}

/** Density of the continuous part at x. */
export function densityAt(triple, x) {
  const cut = cutOf(triple, x);
  if (cut < 0) return 0;
  const w = inside(triple, x, cut);
  return Math.abs(w.im) / (Math.PI * (w.re * w.re + w.im * w.im));
}

/** Points [x, density] of every interval, dense at its edges: one list for each interval. */
export function densityCurves(triple, count) {
  const curves = [];
  for (let cut = 0; 2 * cut < triple.edges.length; cut++) {
    const low = triple.edges[2 * cut], high = triple.edges[2 * cut + 1], points = [[low, 0]];
    let before = null, last = null;
    for (let k = 1; k < count; k++) {
      const x = low + (high - low) * Math.sin((Math.PI * k) / (2 * count)) ** 2;
      const guess = before && last ? { re: 2 * last.re - before.re, im: 2 * last.im - before.im } : last;
      const w = x > low && x < high ? inside(triple, x, cut, guess) : { re: 1, im: 0 };
      points.push([x, Math.abs(w.im) / (Math.PI * (w.re * w.re + w.im * w.im))]);
      before = last;
      last = w;
    }
    points.push([high, 0]);
    curves.push(points);
  }
  return curves;
}

/** G(x + i0) as [re, im], on the support and off it. */
export function cauchyAt(triple, x) {
  const cut = cutOf(triple, x);
  const w = cut < 0 ? { re: outside(triple, x), im: 0 } : inside(triple, x, cut);
  const size = w.re * w.re + w.im * w.im;
  return [w.re / size, -Math.abs(w.im) / size];
}

/** The real w of a point off the support: x(w) increases between the roots that bound its gap. */
function outside(triple, x) {
  const { edges, roots } = triple;
  let k = 0;
  while (k < edges.length && edges[k] < x) k++;
  let low = k === 0 ? -Infinity : roots[k - 1], high = k === edges.length ? Infinity : roots[k];
  for (let reach = 1 + Math.abs(x); low === -Infinity; reach *= 4) {
    if (position(triple, high - reach) < x) low = high - reach;
  }
  for (let reach = 1 + Math.abs(x); high === Infinity; reach *= 4) {
    if (position(triple, low + reach) > x) high = low + reach;
  }
  for (let step = 0; step < 200; step++) {
    const middle = low + (high - low) / 2;
    if (middle <= low || middle >= high) break;
    if (position(triple, middle) < x) low = middle;
    else high = middle;
  }
  return low + (high - low) / 2;
}

/** log(1 - s) + s at complex s, without cancellation where s is small. */
function logMinusLinear(sr, si, out) {
  if (Math.hypot(sr, si) >= 0.5) {
    out[0] = 0.5 * Math.log((1 - sr) ** 2 + si * si) + sr;
    out[1] = Math.atan2(-si, 1 - sr) + si;
    return;
  }
  const divide = (ar, ai, br, bi) => {
    const size = br * br + bi * bi;
    return [(ar * br + ai * bi) / size, (ai * br - ar * bi) / size];
  };
  const [tr, ti] = divide(sr, si, 2 - sr, -si);
  const qr = tr * tr - ti * ti, qi = 2 * tr * ti;
  let pr = 0, pi = 0;
  for (let k = 37; k > 1; k -= 2) {
    const ar = pr + 1 / k;
    [pr, pi] = [ar * qr - pi * qi, ar * qi + pi * qr];
  }
  const [ur, ui] = divide(tr, ti, 1 + tr, ti);
  const br = ur + pr, bi = ui + pi;
  out[0] = -2 * (tr * br - ti * bi);
  out[1] = -2 * (tr * bi + ti * br);
}

const potential = new Float64Array(2);

/** Mass below x strictly inside the support, from the imaginary part of the log-potential. */
export function massUpTo(triple, x) {
  const cut = cutOf(triple, x);
  const w = inside(triple, x, cut), re = w.re, im = Math.abs(w.im);
  const size = re * re + im * im, gr = re / size, gi = -im / size;
  const angle = Math.atan2(im, re);
  let phase = (x - triple.centre) * gi + angle;
  if (triple.variance) phase -= 0.5 * triple.variance * 2 * gr * gi;
  triple.jumps.forEach((a, i) => {
    const rate = triple.rates[i];
    if (rate >= 4) {
      logMinusLinear(a * gr, a * gi, potential);
      phase += rate * potential[1];
    } else phase += rate * (Math.atan2(im, re - a) - angle);
  });
  return 1 - phase / Math.PI;
}

// nodes and weights of Gauss-Legendre quadrature on (-1, 1), order 24, made once by Newton's method
const LEGENDRE = (() => {
  const order = 24, nodes = [], weights = [];
  for (let k = 0; k < order; k++) {
    let x = Math.cos((Math.PI * (k + 0.75)) / (order + 0.5)), slope = 1;
    for (let step = 0; step < 20; step++) {
      let p = 1, before = 0;
      for (let j = 1; j <= order; j++) [p, before] = [((2 * j - 1) * x * p - (j - 1) * before) / j, p];
      slope = (order * (x * p - before)) / (x * x - 1);
      const move = p / slope;
      x -= move;
      if (Math.abs(move) < 1e-16) break;
    }
    nodes.push(x);
    weights.push(2 / ((1 - x * x) * slope * slope));
  }
  return { nodes, weights };
})();

/** Mass between the lowest edge, below zero, and zero, with a small relative error at any size. */
function edgeMass(triple) {
  const root = triple.roots[0], distance = -triple.edges[0];
  let mass = 0;
  LEGENDRE.nodes.forEach((node, k) => {
    const s = 0.5 * (node + 1);
    let dr = 0, di = 0;
    for (let step = 0; step < 200; step++) {
      const re = root + dr, im = di;
      let br = 0, bi = 0; // (x(w) - x_edge) / (w - root)^2
      const add = (factor, ar) => {
        const size = ar * ar + im * im;
        br += (factor * ar) / size;
        bi -= (factor * im) / size;
      };
      triple.jumps.forEach((a, i) => add((triple.rates[i] * a * a) / (root - a) ** 2, re - a));
      if (triple.variance) add(triple.variance / (root * root), re);
      const size = br * br + bi * bi; // i s sqrt(-distance / bend)
      const cr = (-distance * br) / size, ci = (distance * bi) / size;
      const modulus = Math.sqrt(cr * cr + ci * ci), sr = Math.sqrt((modulus + cr) / 2);
      const si = (ci < 0 ? -1 : 1) * Math.sqrt((modulus - cr) / 2);
      const fr = -s * si, fi = s * sr;
      const moved = Math.abs(fr - dr) + Math.abs(fi - di);
      dr = fr; di = fi;
      if (moved <= 1e-16 * (Math.abs(dr) + Math.abs(di))) break;
    }
    const re = root + dr;
    mass += (LEGENDRE.weights[k] * s * Math.abs(di)) / (Math.PI * (re * re + di * di));
  });
  return distance * mass;
}

/** Share of eigenvalues strictly below zero. */
export function indexOf(triple) {
  const [low, high] = triple.edges;
  if (low >= 0) return 0;
  if (high <= 0) {
    const w = triple.atom ? 0 : outside(triple, 0);
    return massBelow(triple, w === 0 ? -Number.MIN_VALUE : w);
  }
  const value = Math.min(Math.max(massUpTo(triple, 0), 0), 1);
  return value >= 1e-4 ? value : edgeMass(triple);
}

/** The largest energy without mass below zero (eq. 21 and 32, written without cancellation). */
export function criticalEnergy(ratio, activation = "linear") {
  checkSetting(ratio, 0, activation);
  const below = Math.min(ratio, 1);
  const root = Math.sqrt(1 + 8 * below * (activation === "linear" ? 1 : 2 - below));
  const shape = ((1 - below) ** 3 * (1 + root)) / (3 + root) ** 3;
  return activation === "linear" ? 4 * shape : (16 * shape) / below;
}

/** Coefficient of the small-index law alpha0 ((energy - critical) / critical)^(3/2), for ratios below 1. */
export function indexCoefficient(ratio, activation = "linear") {
  const linear = activation === "linear";
  const root = Math.sqrt(1 + 8 * ratio * (linear ? 1 : 2 - ratio));
  if (linear) return (16 * (1 - ratio)) / (3 + root) / (3 * Math.PI * (1 + root) * Math.sqrt(root));
  const energy = criticalEnergy(ratio, activation);
  const g = -(3 + root) / ((1 + root) * (1 - ratio)), jump = energy * ratio ** 2;
  const inner = 2 - jump * g * g, reach = energy * Math.abs((2 * ratio * g) / inner ** 2);
  const bend = (2 * ratio ** 2) / (1 - ratio * g) ** 3 + 2 / g ** 3
    + (2 * jump * energy * ratio * g * (6 + jump * g * g)) / inner ** 3;
  return (2 / (3 * Math.PI)) * reach ** 1.5 * Math.sqrt(2 / Math.abs(bend));
}

/** What the page exposes as window.hessium. */
export const api = Object.freeze({
  /** Density of the Hessian's law at x, a number or an array; atoms are left out. */
  density(x, ratio, energy, activation = "linear") {
    checkSetting(ratio, energy, activation);
    const triple = hessianLaw(ratio, energy, activation);
    const one = (value) => densityAt(triple, value);
    return typeof x === "number" ? one(x) : Array.from(x, one);
  },
  /** Edges of the support, ascending: low, high, low, high, ... of its intervals. */
  edges(ratio, energy, activation = "linear") {
    checkSetting(ratio, energy, activation);
    return hessianLaw(ratio, energy, activation).edges.slice();
  },
  /** Atoms as [location, weight]. */
  atoms(ratio, energy, activation = "linear") {
    checkSetting(ratio, energy, activation);
    const { atom } = hessianLaw(ratio, energy, activation);
    return atom ? [[0, atom]] : [];
  },
  /** Share of negative eigenvalues. */
  index(ratio, energy, activation = "linear") {
    checkSetting(ratio, energy, activation);
    return indexOf(hessianLaw(ratio, energy, activation));
  },
  criticalEnergy,
});
