// What all pictures need at one setting: the three laws and their numbers.

import { criticalEnergy, densityCurves, gaussNewtonLaw, hessianLaw, indexCoefficient, indexOf, residualLaw } from "./laws.js";
import { position, slopeLoss } from "./triple.js";

const POINTS = { hessian: 220, part: 110, index: 72 };

/** Laws, curves, index and critical energy. */
export function modelOf({ ratio, energy, activation, spike }) {
  const hessian = hessianLaw(ratio, energy, activation);
  const gaussNewton = gaussNewtonLaw(ratio), residual = residualLaw(ratio, energy, activation);
  return {
    ratio, energy, activation, hessian, gaussNewton, residual,
    curves: {
      hessian: densityCurves(hessian, POINTS.hessian),
      gaussNewton: densityCurves(gaussNewton, POINTS.part),
      residual: densityCurves(residual, POINTS.part),
    },
    edges: hessian.edges,
    low: hessian.edges[0],
    high: hessian.edges[hessian.edges.length - 1],
    index: indexOf(hessian),
    critical: criticalEnergy(ratio, activation),
    outlier: outlierOf(hessian, spike),
  };
}

/** The eigenvalue that a spike theta makes off the support, x(theta), and its overlap 1 - q(theta); or null. */
export function outlierOf(triple, theta) {
  if (theta === 0) return null;
  const q = slopeLoss(triple, theta);
  return q < 1 ? { location: position(triple, theta), overlap: 1 - q } : null;
}

let known = { key: "", curve: [] };

/** Index against energy at one ratio, from 1e-6 to 10; computed again only when the ratio changes. */
export function indexCurve(ratio, activation) {
  const key = `${ratio} ${activation}`;
  if (known.key !== key) {
    const critical = criticalEnergy(ratio, activation), curve = [], count = POINTS.index;
    const at = (energy) => curve.push([energy, indexOf(hessianLaw(ratio, energy, activation))]);
    if (critical > 1e-6 && critical < 10) {
      curve.push([1e-6, 0], [critical, 0]);
      // the index grows as the 3/2 power of the distance from the critical energy
      const reach = Math.log(10 / critical);
      for (let k = 1; k <= count; k++) at(critical * Math.exp(reach * (k / count) ** 2));
    } else if (critical >= 10) curve.push([1e-6, 0], [10, 0]);
    else for (let k = 0; k <= count; k++) at(10 ** (-6 + (7 * k) / count));
    const small = [];
    if (critical > 1e-6 && ratio < 1) {
      const coefficient = indexCoefficient(ratio, activation);
      for (let k = 0; k <= 40; k++) {
        const excess = 3 * (k / 40) ** 2;
        small.push([critical * (1 + excess), coefficient * excess ** 1.5]);
      }
    }
    known = { key, curve, small };
  }
  return known;
}
