// Laws with R(g) = v g + sum_i rate_i a_i / (1 - a_i g), written in w = 1/G, where x(w) = w + R(1/w).
//
// q(w) = 1 - x'(w) = v / w^2 + sum_i rate_i a_i^2 / (w - a_i)^2. Between its poles q is convex, so that the
// list of edges, x at the real roots of q = 1, is complete. At x inside the support w is the only fixed
// point of w -> x - R(1/w) in the upper half-plane. The same formulas as hessium.theory.laws.levy_triple.

const DENSE_RATE = 4; // a jump of a larger rate is summed about its mean: rate times size cancels there

/** The law of a variance and of jumps [rate, size]; jumps of equal size are merged. */
export function makeTriple(variance, jumps) {
  const merged = new Map();
  for (const [rate, size] of jumps) merged.set(size, (merged.get(size) || 0) + rate);
  const sizes = [...merged.keys()].sort((a, b) => a - b);
  const rates = sizes.map((a) => merged.get(a));
  let centre = 0;
  sizes.forEach((a, i) => {
    if (rates[i] >= DENSE_RATE) centre += rates[i] * a;
  });
  const triple = { variance, rates, jumps: sizes, centre };
  triple.roots = edgeRoots(triple);
  triple.edges = triple.roots.map((w) => position(triple, w));
  const left = 1 - rates.reduce((sum, rate) => sum + rate, 0);
  triple.atom = variance === 0 && left > 0 ? left : 0;
  return triple;
}

/** R(1/w) less the centre in out[0] + i out[1], and q(w) in out[2] + i out[3]. */
export function remainder(triple, re, im, out) {
  let vr = 0, vi = 0, qr = 0, qi = 0;
  if (triple.variance) {
    const size = re * re + im * im, ir = re / size, ii = -im / size;
    const pr = triple.variance * ir, pi = triple.variance * ii;
    vr += pr; vi += pi;
    qr += pr * ir - pi * ii; qi += pr * ii + pi * ir;
  }
  for (let i = 0; i < triple.jumps.length; i++) {
    const a = triple.jumps[i], rate = triple.rates[i];
    const dr = re - a, size = dr * dr + im * im, ir = dr / size, ii = -im / size; // 1 / (w - a)
    const square = rate * a * a;
    if (rate >= DENSE_RATE) {
      vr += square * ir; vi += square * ii;
    } else {
      const pr = rate * a * ir, pi = rate * a * ii;
      vr += pr * re - pi * im; vi += pr * im + pi * re;
    }
    qr += square * (ir * ir - ii * ii); qi += square * 2 * ir * ii;
  }
  out[0] = vr; out[1] = vi; out[2] = qr; out[3] = qi;
}

const real = new Float64Array(4);

/** x(w) at real w. */
export function position(triple, w) {
  remainder(triple, w, 0, real);
  return triple.centre + (w + real[0]);
}

/** q(w) at real w: 1 at the edges, below 1 off the support. */
export function slopeLoss(triple, w) {
  remainder(triple, w, 0, real);
  return real[2];
}

/** R(g) at real g. */
export function rTransform(triple, g) {
  let value = triple.variance * g;
  for (let i = 0; i < triple.jumps.length; i++) {
    value += (triple.rates[i] * triple.jumps[i]) / (1 - triple.jumps[i] * g);
  }
  return value;
}

/** Variance and third free cumulant beside the mean. */
export function cumulants(triple) {
  let mean = 0, variance = triple.variance, third = 0;
  triple.jumps.forEach((a, i) => {
    mean += triple.rates[i] * a;
    variance += triple.rates[i] * a * a;
    third += triple.rates[i] * a ** 3;
  });
  return { mean, variance, third };
}

/** Mass below the point off the support that belongs to a real w: a count of poles. */
export function massBelow(triple, w) {
  let mass = 1 - (w < 0 ? 1 : 0);
  triple.jumps.forEach((a, i) => {
    mass -= triple.rates[i] * ((w < a ? 1 : 0) - (w < 0 ? 1 : 0));
  });
  return mass;
}

/** Real roots of q = 1, ascending; cut k lies between x of the roots 2k and 2k + 1. */
function edgeRoots(triple) {
  const poles = [], strength = [];
  triple.jumps.forEach((a, i) => {
    poles.push(a);
    strength.push(triple.rates[i] * a * a);
  });
  if (triple.variance) {
    const where = poles.filter((p) => p < 0).length;
    poles.splice(where, 0, 0);
    strength.splice(where, 0, triple.variance);
  }
  const roots = [rootBeside(poles, strength, 0, -1, Infinity)];
  for (let k = 0; k + 1 < poles.length; k++) {
    const lowest = lowestBetween(poles, strength, k);
    if (lowest !== null) {
      roots.push(rootBeside(poles, strength, k, 1, lowest - poles[k]));
      roots.push(rootBeside(poles, strength, k + 1, -1, poles[k + 1] - lowest));
    }
  }
  roots.push(rootBeside(poles, strength, poles.length - 1, 1, Infinity));
  return roots;
}

/** Root of q = 1 beside pole k, as a distance t from it. q is convex and falls with t: Newton's method from
    the side of the pole rises to the root and cannot pass it. */
function rootBeside(poles, strength, k, sign, far) {
  let t = Math.sqrt(strength[k]);
  for (let step = 0; step < 200; step++) {
    let excess = -1, slope = 0;
    for (let j = 0; j < poles.length; j++) {
      const d = poles[j] - poles[k] - sign * t, part = strength[j] / (d * d);
      excess += part;
      slope += (2 * sign * part) / d;
    }
    if (!(excess > 0)) break;
    const next = Math.min(t - excess / slope, far);
    if (!(next > t)) break;
    t = next;
  }
  return poles[k] + sign * t;
}

/** A point between poles k and k + 1 where q is below 1, or null if even its minimum is not. */
function lowestBetween(poles, strength, k) {
  const left = poles[k], right = poles[k + 1], gap = right - left;
  if (Math.max(strength[k], strength[k + 1]) >= gap * gap) return null;
  let low = left, high = right, slope = 0, least = 0, w = low;
  for (let step = 0; step < 200; step++) {
    w = low + (high - low) / 2;
    slope = 0;
    least = 0;
    for (let j = 0; j < poles.length; j++) {
      const d = poles[j] - w, part = strength[j] / (d * d);
      least += part;
      slope += part / d;
    }
    if (least < 1 - 1e-14) return w; // any point between the two roots will do
    if (w <= low || w >= high) break;
    if (slope < 0) low = w;
    else high = w;
  }
  return null;
}
