// The fixed point of w -> z - R(1/w) in the upper half-plane, for real z inside the support.
//
// Newton's method made global by the hyperbolic displacement |w - f(w)|^2 / (Im w Im f(w)), which never grows
// under w -> f(w) (Schwarz-Pick); points that stall come down from far above the axis. The same method as
// hessium.theory._fixed_point, where the certificate is explained.

import { remainder } from "./triple.js";

const EPS = 2 ** -52;
const TINY = 1e-300;
const NOISE = 64 * EPS;
const NEAR = 0.02;
const PRECISE = 1e-12;
const LAST = 1e-9;

const at = new Float64Array(4);

/** Math.hypot takes care of overflow, which cannot occur here, and is ten times slower. */
function modulus(re, im) {
  return Math.sqrt(re * re + im * im);
}

function emptyPoint() {
  return { re: 0, im: 0, fr: 0, fi: 0, mr: 0, mi: 0, ar: 0, ai: 0, displacement: 0, distance: 0, certified: false };
}

/** Image f(w) and Newton step at w, into `point`. */
function evaluate(triple, zr, zi, re, im, point) {
  remainder(triple, re, im, at);
  const fr = zr - triple.centre - at[0], fi = zi - at[1];
  const ar = 1 - at[2], ai = -at[3], size = ar * ar + ai * ai;
  const dr = fr - re, di = fi - im;
  point.re = re; point.im = im; point.fr = fr; point.fi = fi; point.ar = ar; point.ai = ai;
  point.mr = (dr * ar + di * ai) / size;
  point.mi = (di * ar - dr * ai) / size;
  point.displacement = (dr * dr + di * di) / (Math.max(im, TINY) * Math.max(fi, TINY));
}

/** Newton's method from re + i im; the result has `certified` and `distance` (Newton step over Im w). */
export function iterate(triple, zr, zi, re, im, most) {
  let point = emptyPoint(), other = emptyPoint();
  evaluate(triple, zr, zi, re, im, point);
  for (let count = 1; count < most; count++) {
    const last = modulus(point.mr, point.mi), height = point.im;
    let tr = point.re + point.mr, ti = point.im + point.mi;
    if (ti < 0 && zi === 0) ti = -ti; // solutions at real z come in conjugate pairs
    const usable = ti > 0;
    if (!usable) { tr = point.fr; ti = point.fi; }
    evaluate(triple, zr, zi, tr, ti, other);
    if (usable && !(other.displacement < point.displacement)) {
      const size = Math.abs(zr) + zi + modulus(point.re, point.im);
      if (modulus(point.fr - point.re, point.fi - point.im) <= NOISE * size) break;
      evaluate(triple, zr, zi, point.fr, point.fi, other);
    }
    const before = point;
    point = other;
    other = before;
    if (point.displacement === 0 || last <= LAST * height) break;
  }
  const size = Math.abs(zr) + zi + modulus(point.re, point.im);
  const rate = modulus(point.ar, point.ai), shift = modulus(point.mr, point.mi);
  const error = modulus(point.fr - point.re, point.fi - point.im);
  const solved = error <= 4 * NOISE * size;
  point.distance = Math.max(shift, (EPS * size) / rate) / Math.max(point.im, TINY);
  const beside = zi > 0 && solved && shift <= NOISE * size && point.ar > 0;
  point.certified = ((solved || point.distance <= PRECISE) && point.distance < NEAR) || beside;
  return point;
}

/** Continuation from x + ih with h falling to zero; the steps shrink where Newton's method fails. */
function descend(triple, x, re, im) {
  const size = Math.abs(x) + modulus(re, im) + TINY;
  let height = 4 * size, oldHeight = 2 * height, ratio = 0.25;
  let found = iterate(triple, x, height, re, im + height, 60), old = found;
  for (let stage = 0; stage < 400; stage++) {
    if (height <= 0.05 * found.im) {
      const last = iterate(triple, x, 0, found.re, found.im, 30);
      if (last.certified) return last;
    }
    if (ratio >= 0.98 || height <= 1e-18 * size) break;
    const lower = height * ratio, share = (lower - height) / (height - oldHeight);
    let gr = found.re + (found.re - old.re) * share, gi = found.im + (found.im - old.im) * share;
    if (!(gi > 0.5 * ratio * found.im) || !isFinite(gr)) { gr = found.re; gi = found.im; }
    const next = iterate(triple, x, lower, gr, gi, 12);
    if (next.certified || next.distance < NEAR) {
      old = found; oldHeight = height;
      found = next; height = lower;
      ratio = Math.max(ratio ** 1.5, 1e-2);
    } else ratio = Math.sqrt(ratio);
  }
  return null;
}

/** w = 1/G(x + i0) at x strictly inside cut number `cut`, as {re, im}; im is 0 within rounding of an edge.

    A guess saves iterations; it does not decide which solution is found, for there is only one. */
export function inside(triple, x, cut, guess = null) {
  if (guess && guess.im > 0) {
    const near = iterate(triple, x, 0, guess.re, guess.im, 30);
    if (near.certified) return near;
  }
  const left = triple.roots[2 * cut], right = triple.roots[2 * cut + 1];
  const low = triple.edges[2 * cut], high = triple.edges[2 * cut + 1];
  const share = Math.min(Math.max((x - low) / (high - low), 0), 1);
  const re = left + (right - left) * share;
  const im = Math.max((right - left) * Math.sqrt(share * (1 - share)), TINY);
  const direct = iterate(triple, x, 0, re, im, 30);
  if (direct.certified) return direct;
  const found = descend(triple, x, re, im);
  if (found) return found;
  const width = triple.edges[triple.edges.length - 1] - triple.edges[0];
  for (const k of [2 * cut, 2 * cut + 1]) {
    if (Math.abs(x - triple.edges[k]) <= 1e-12 * (Math.abs(x) + width)) return { re: triple.roots[k], im: 0 };
  }
  return iterate(triple, x, 1e-14 * (Math.abs(x) + width), re, im, 60);
}
