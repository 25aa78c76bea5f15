// Random numbers that a seed fixes, and the random matrices of the two laws.

/** Uniform numbers in (0, 1): sfc32, seeded by three integers. */
export function uniforms(seed, stream = 0, place = 0) {
  let a = seed | 0, b = (stream * 0x9e3779b9) | 0, c = (place * 0x85ebca6b) | 0, d = 1;
  const next = () => {
    const t = (((a + b) | 0) + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + t) | 0;
    return ((t >>> 0) + 0.5) / 4294967296;
  };
  for (let k = 0; k < 12; k++) next();
  return next;
}

/** Standard normal numbers (Box and Muller). */
export function normals(uniform) {
  let kept = NaN;
  return () => {
    if (kept === kept) {
      const value = kept;
      kept = NaN;
      return value;
    }
    const radius = Math.sqrt(-2 * Math.log(uniform())), angle = 2 * Math.PI * uniform();
    kept = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  };
}

/** A chi-square number of k degrees of freedom (Marsaglia and Tsang 2000). */
export function chiSquare(k, uniform) {
  const normal = normals(uniform);
  if (k === 1) return normal() ** 2;
  const d = k / 2 - 1 / 3, c = 1 / Math.sqrt(9 * d);
  for (;;) {
    const z = normal(), v = (1 + c * z) ** 3;
    if (v > 0 && Math.log(uniform()) < 0.5 * z * z + d - d * v + d * Math.log(v)) return 2 * d * v;
  }
}

const kept = new Map();

/** n x n normal numbers of a seed, made once. */
function square(n, seed, stream) {
  const key = `${n} ${seed} ${stream}`;
  if (!kept.has(key)) {
    if (kept.size > 60) kept.clear();
    const normal = normals(uniforms(seed, stream)), values = new Float64Array(n * n);
    for (let i = 0; i < n * n; i++) values[i] = normal();
    kept.set(key, values);
  }
  return kept.get(key);
}

/** Add factor * X X^T to the lower triangle of A, X of shape n x columns with standard normal entries.

    With n columns or more, X X^T = L L^T with L lower triangular (Bartlett 1933), whatever their number. */
export function addWishart(A, n, columns, factor, seed, stream) {
  if (columns < 1) return;
  const Z = square(n, seed, stream);
  const wide = columns >= n, width = Math.min(n, columns);
  const diagonal = new Float64Array(width);
  if (wide) for (let i = 0; i < n; i++) diagonal[i] = Math.sqrt(chiSquare(columns - i, uniforms(seed, stream, i + 1)));
  const X = new Float64Array(n * width);
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < width; k++) {
      X[i * width + k] = wide ? (k < i ? Z[i * n + k] : k === i ? diagonal[i] : 0) : Z[i * n + k];
    }
  }
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = 0;
      const last = wide ? j + 1 : width;
      for (let k = 0; k < last; k++) sum += X[i * width + k] * X[j * width + k];
      A[i * n + j] += factor * sum;
    }
  }
}

/** H = H0 + H1 of size n, row by row, its lower triangle filled. */
export function sampleHessian(n, ratio, energy, activation, seed) {
  const A = new Float64Array(n * n), columns = Math.max(1, Math.round(n / ratio));
  addWishart(A, n, columns, 1 / columns, seed, 1);
  if (energy > 0 && activation === "linear") {
    const Z = square(n, seed, 2), scale = Math.sqrt(energy / n);
    for (let i = 0; i < n; i++) for (let j = 0; j <= i; j++) A[i * n + j] += scale * (Z[i * n + j] + Z[j * n + i]);
  } else if (energy > 0) {
    const half = Math.round(n / (2 * ratio)), jump = (ratio * Math.sqrt(energy / 2)) / n;
    addWishart(A, n, half, jump, seed, 3);
    addWishart(A, n, half, -jump, seed, 4);
  }
  return A;
}
