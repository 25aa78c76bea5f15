// Eigenvalues of symmetric matrices: Householder's reduction to a tridiagonal matrix, then implicit QL.

/** Tridiagonal form of the matrix whose lower triangle is in A (n x n, overwritten).

    The orthogonal matrix keeps the first unit vector, so that a spike added along it is added to diagonal[0]. */
export function tridiagonal(A, n) {
  const diagonal = new Float64Array(n), off = new Float64Array(n), v = new Float64Array(n), p = new Float64Array(n);
  for (let k = 0; k < n; k++) {
    diagonal[k] = A[k * n + k];
    if (k === n - 1) break;
    let norm = 0;
    for (let i = k + 1; i < n; i++) norm += A[i * n + k] ** 2;
    norm = Math.sqrt(norm);
    const head = A[(k + 1) * n + k];
    if (k === n - 2 || norm === 0) {
      off[k] = k === n - 2 ? head : 0;
      continue;
    }
    const target = head > 0 ? -norm : norm;
    off[k] = target;
    for (let i = k + 1; i < n; i++) v[i] = A[i * n + k];
    v[k + 1] -= target;
    const scale = 1 / (norm * (norm + Math.abs(head))); // 2 / v.v
    p.fill(0, k + 1);
    for (let i = k + 1; i < n; i++) {
      const row = i * n, vi = v[i];
      let sum = A[row + i] * vi;
      for (let j = k + 1; j < i; j++) {
        sum += A[row + j] * v[j];
        p[j] += A[row + j] * vi;
      }
      p[i] += sum;
    }
    let dot = 0;
    for (let i = k + 1; i < n; i++) {
      p[i] *= scale;
      dot += p[i] * v[i];
    }
    const half = 0.5 * scale * dot;
    for (let i = k + 1; i < n; i++) p[i] -= half * v[i];
    for (let i = k + 1; i < n; i++) {
      const row = i * n, vi = v[i], pi = p[i];
      for (let j = k + 1; j <= i; j++) A[row + j] -= vi * p[j] + pi * v[j];
    }
  }
  return { diagonal, off };
}

/** Eigenvalues of a tridiagonal matrix, ascending, and the squares of the first entries of its eigenvectors. */
export function eigenvalues({ diagonal, off }, spike = 0) {
  const n = diagonal.length, d = Float64Array.from(diagonal), e = Float64Array.from(off);
  const first = new Float64Array(n);
  first[0] = 1;
  d[0] += spike;
  for (let low = 0; low < n; low++) {
    for (let pass = 0; pass < 80; pass++) {
      let m = low;
      while (m < n - 1 && Math.abs(e[m]) > 2 ** -52 * (Math.abs(d[m]) + Math.abs(d[m + 1]))) m++;
      if (m === low) break;
      let g = (d[low + 1] - d[low]) / (2 * e[low]), r = Math.sqrt(g * g + 1);
      g = d[m] - d[low] + e[low] / (g + (g < 0 ? -r : r));
      let s = 1, c = 1, p = 0, i = m - 1;
      for (; i >= low; i--) {
        const f = s * e[i], b = c * e[i];
        r = Math.sqrt(f * f + g * g);
        e[i + 1] = r;
        if (r === 0) {
          d[i + 1] -= p;
          e[m] = 0;
          break;
        }
        s = f / r;
        c = g / r;
        g = d[i + 1] - p;
        const t = (d[i] - g) * s + 2 * c * b;
        p = s * t;
        d[i + 1] = g + p;
        g = c * t - b;
        const z = first[i + 1];
        first[i + 1] = s * first[i] + c * z;
        first[i] = c * first[i] - s * z;
      }
      if (r === 0 && i >= low) continue;
      d[low] -= p;
      e[low] = g;
      e[m] = 0;
    }
  }
  const order = Array.from(d.keys()).sort((a, b) => d[a] - d[b]);
  return { values: order.map((k) => d[k]), overlaps: order.map((k) => first[k] ** 2) };
}
