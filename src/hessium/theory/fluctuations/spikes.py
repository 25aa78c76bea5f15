r"""Outliers of spiked matrices: positions and overlaps of their eigenvectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hessium._typing import ArrayLike, FloatArray, IntArray
from hessium.errors import InputError
from hessium.theory import _check
from hessium.theory._roots import increasing_roots
from hessium.theory.laws.cumulants import CumulantSeries
from hessium.theory.laws.empirical import Empirical
from hessium.theory.laws.law import Law, checked_law, gaps_of
from hessium.theory.laws.levy import LevyLaw


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlier:
    r"""An eigenvalue outside the support that belongs to a spike.

    Attributes:
        spike: eigenvalue theta of the structured part.
        location: limit of the eigenvalue of the sum, $\omega(x) = \theta$.
        overlap: limit of $|\langle u, v\rangle|^2$ of the two eigenvectors, $1/\omega'(x)$.

    Example:
        >>> hs.theory.outliers([3.0], hs.theory.Semicircle(1.0))[0].overlap < 1
        True
    """

    spike: float
    location: float
    overlap: float


def outliers(spikes: ArrayLike, noise: Law, base: Law | None = None) -> tuple[Outlier, ...]:
    r"""Outliers of A + B: B free noise, A of law `base` with finitely many spikes besides.

    A spike theta off the support of the base makes an eigenvalue at $x$ with $\omega(x) = \theta$,
    $x = \theta + R_B(G_A(\theta))$, if $dx/d\theta > 0$; below that threshold it makes none
    (Belinschi, Bercovici, Capitaine and Fevrier, Ann. Probab. 2017; Benaych-Georges and
    Nadakuditi, Adv. Math. 2011). For A of low rank (`base` not given) and semicircle noise of
    variance v: $x = \theta + v/\theta$, overlap $1 - v/\theta^2$, if $|\theta| > \sqrt v$.

    Args:
        spikes: eigenvalues of A outside the support of its law.
        noise: law of B.
        base: bulk law of A; zero if not given.

    Returns:
        Outliers, ascending by location; one spike may have several if the noise has gaps.

    Raises:
        InputError: if a spike lies in the support of the base.

    Example:
        >>> (one,) = hs.theory.outliers([3.0], hs.theory.Semicircle(1.0))
        >>> round(one.location, 6)  # 3 + 1/3
        3.333333
    """
    bulk = Empirical([0.0]) if base is None else checked_law("base", base)
    far = checked_law("noise", noise)._series
    found: list[Outlier] = []
    for spike in _check.spectrum("spikes", spikes).tolist():
        if not any(low < spike < high for low, high in gaps_of(bulk)):
            msg = f"spikes: {spike:g} lies in the support of the base; a spike lies outside"
            raise InputError(msg)
        g, slope = (float(a[0].real) for a in bulk.cauchy_above(np.array([spike], dtype=complex)))
        for position, rate in _positions(noise, far, spike, g, slope):
            if rate > 0:
                found.append(Outlier(spike=spike, location=position, overlap=rate))
    return tuple(sorted(found, key=lambda o: o.location))


def _positions(
    noise: Law, far: CumulantSeries, spike: float, g: float, slope: float
) -> list[tuple[float, float]]:
    """Candidate positions and dx/dtheta there."""
    if abs(g) * far.reach < 1:
        # between components of the base G vanishes; there both subordination points are large
        small = np.array([g], dtype=complex)
        position = spike + float(far.r_transform(small)[0].real)
        return [(position, 1 + float(far.slope(small)[0].real) * slope)]
    if isinstance(noise, LevyLaw):
        with np.errstate(all="ignore"):  # a pole of R gives no outlier
            value, q = noise.triple.remainder(np.array([1 / g], dtype=complex))
        position = noise.triple.centre + spike + float(value[0].real)
        return [(position, 1 + float(q[0].real) * slope / g**2)]

    def falling(v: FloatArray, _: IntArray) -> tuple[FloatArray, FloatArray]:
        value, change = noise.cauchy_above(v.astype(np.complex128))
        return -value.real, -change.real

    results = []
    unit, one = noise.std(), np.zeros(1, dtype=np.int64)
    for low, high in gaps_of(noise):
        near = 1e-13 * (high - low if np.isfinite(high - low) else unit)
        top = -falling(np.array([low + near]), one)[0][0] if np.isfinite(low) else 0.0
        bottom = -falling(np.array([high - near]), one)[0][0] if np.isfinite(high) else 0.0
        if not top > g > bottom:
            continue
        v = increasing_roots(falling, np.array([-g]), np.array([low]), np.array([high]))
        other = -falling(v, one)[1][0]
        rate = (1 / slope + 1 / other + 1 / g**2) * slope
        results.append((spike + float(v[0]) - 1 / g, float(rate)))
    return results
