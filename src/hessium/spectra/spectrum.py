"""The spectrum of a symmetric matrix: known eigenvalues, and Gauss rules for the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from hessium import _arguments
from hessium._arguments import count, end, fraction, function, positive, reals
from hessium._typing import FloatArray
from hessium.errors import InputError
from hessium.spectra.bands import Band, Integral
from hessium.spectra.counts import Count
from hessium.spectra.distribution import distribution_band
from hessium.spectra.gauss_rule import GaussRule
from hessium.spectra.inertia import (
    Inertia,
    RankProfile,
    check_tol,
    inertia_from_counts,
    inertia_of,
    rank_profile_of,
)
from hessium.spectra.integrals import estimated_mean, exact_mean
from hessium.spectra.interval_counts import interval_count
from hessium.spectra.measure import (
    real_list,
    resolution_of,
    rounding_unit,
)
from hessium.spectra.smoothing import density_band
from hessium.spectra.spectral_data import SpectralData

_KERNEL = 0.02  # width of the smoothing kernel by default, relative to the range of the nodes


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Spectrum(SpectralData):
    r"""The eigenvalue distribution of a symmetric n x n matrix, exact or estimated.

    The measure is $\frac1n \sum_{i \le k} \delta_{\lambda_i}$ for the k eigenvalues that are known,
    and for the others the average of the Gauss rules of Gaussian vectors z in their complement,
    weighted by $|z|^2$: unbiased in all moments that the rules integrate. A spectrum is exact if
    k = n.

    Every result has a bracket and the sources of its width. Rounding: a known eigenvalue has the
    error `resolution`. Steps: a rule of m nodes determines the mass of its vector left of x between
    sharp bounds (Chebyshev, Markov, Stieltjes). Probes: the fraction of |z|^2 of P Gaussian vectors
    in a subspace of dimension d of N has the law $\mathrm{Beta}(dP/2, (N-d)P/2)$ exactly, which
    inverted gives intervals for d without any normal approximation, for one negative eigenvalue as
    for a million.

    Attributes:
        nodes: eigenvalues that are known and nodes of the rules, ascending.
        weights: their masses, summing to one.
        resolution: rounding error of an eigenvalue.
        dim: n, the size of the matrix.
        known: eigenvalues that are known, shape (k,).
        rules: one for each probe.
        num_matvecs: matrix-vector products spent.
        nonnegative: whether no eigenvalue can be negative.
        rank_bound: upper bound on the rank; None if no bound below n is known.

    Example:
        >>> s = hs.Spectrum.of([-1.0, 0.0, 2.0])
        >>> s.count(-2, 0.5).value, s.rank(1e-6).value, s.moment(1)
        (2, 2, 0.3333333333333333)
    """

    @classmethod
    def of(
        cls,
        eigenvalues: npt.ArrayLike,
        *,
        dim: int | None = None,
        resolution: float | None = None,
        unit: float | None = None,
        num_matvecs: int = 0,
        nonnegative: bool = False,
        rank_bound: int | None = None,
    ) -> Spectrum:
        """The exact spectrum of a matrix from all its eigenvalues.

        Args:
            eigenvalues: a list of real numbers.
            dim: size of the matrix; eigenvalues beyond those given are zero.
            resolution: rounding error of an eigenvalue, by default that of a dense solver.
            unit: machine epsilon of the dtype in which the matrix was computed, by default of the
                dtype of the eigenvalues.
            num_matvecs: as in `Spectrum`.
            nonnegative: as in `Spectrum`.
            rank_bound: as in `Spectrum`.

        Raises:
            InputError: if the eigenvalues are complex, not finite, or not a list.
        """
        given = real_list("eigenvalues", eigenvalues)
        values = np.asarray(given, dtype=np.float64)
        if dim is not None:
            values = np.append(values, np.zeros(count("dim", dim, values.size) - values.size))
        if rank_bound is not None:
            count("rank_bound", rank_bound, 0)
        unit = rounding_unit(given) if unit is None else positive("unit", unit)
        if resolution is None:
            resolution = resolution_of(values, unit)
        return cls(
            nodes=values,
            weights=np.full(values.size, 1.0 / max(values.size, 1)),
            resolution=_arguments.nonnegative("resolution", resolution),
            dim=values.size,
            known=np.sort(values),
            num_matvecs=count("num_matvecs", num_matvecs, 0),
            nonnegative=nonnegative,
            rank_bound=rank_bound,
        )

    @classmethod
    def from_rules(
        cls,
        rules: tuple[GaussRule, ...],
        known: FloatArray,
        *,
        dim: int,
        resolution: float,
        num_matvecs: int,
        nonnegative: bool = False,
        rank_bound: int | None = None,
    ) -> Spectrum:
        """An estimate from the rules of random vectors and the eigenvalues that they do not see."""
        total = sum(rule.mass for rule in rules)
        nodes, weights = [known], [np.full(known.size, 1.0 / dim)]
        for rule in rules:
            points, masses = rule.gauss()
            nodes.append(points)
            weights.append(masses * (rule.mass / total) * ((dim - known.size) / dim))
        return cls(
            nodes=np.concatenate(nodes),
            weights=np.concatenate(weights),
            resolution=resolution,
            dim=dim,
            known=known,
            rules=rules,
            num_matvecs=num_matvecs,
            nonnegative=nonnegative,
            rank_bound=rank_bound,
        )

    def count(self, a: float, b: float, *, confidence: float = 0.95, margin: float = 0.0) -> Count:
        r"""Number of eigenvalues in (a, b].

        Args:
            a: lower end, may be -inf.
            b: upper end, may be inf.
            confidence: probability that the bracket contains the true number, over the random
                probes.
            margin: uncertainty of a and b; the resolution is added.

        Raises:
            InputError: for an empty interval or a confidence outside (0, 1).
        """
        a, b, margin = end("a", a), end("b", b), _arguments.nonnegative("margin", margin)
        if not a < b:
            msg = f"a, b: ({a}, {b}] is empty; a < b is required"
            raise InputError(msg)
        return interval_count(self, a, b, margin, fraction("confidence", confidence))

    def inertia(self, tol: float = 1e-6, *, confidence: float = 0.999) -> Inertia:
        r"""Numbers of negative, zero and positive eigenvalues, zero meaning $|\lambda| \le t$.

        $t = \mathrm{tol} \max|\lambda|$, of an estimate over the known eigenvalues and nodes.

        Args:
            tol: relative threshold.
            confidence: probability that all brackets hold, over the random probes.

        Raises:
            InputError: if tol or confidence are out of range.
        """
        tol, confidence = check_tol(tol), fraction("confidence", confidence)
        if self.exact:
            return inertia_of(
                self.known,
                tol,
                self.resolution,
                nonnegative=self.nonnegative,
                rank_bound=self.rank_bound,
            )
        scale = float(np.abs(self.nodes).max())
        return self.inertia_at(tol, scale, tol * self.resolution, confidence)

    def inertia_at(self, tol: float, scale: float, margin: float, confidence: float) -> Inertia:
        """Inertia of an estimate, for a threshold tol x scale that is uncertain by `margin`."""
        t = tol * scale
        below = float(np.nextafter(-t, -np.inf))  # eigenvalues at -t are zeros, also for t = 0
        each = 1 - (1 - confidence) / 3  # three counts, and all of them true
        negative, inner, positive = (
            self.count(a, b, confidence=each, margin=margin)
            for a, b in ((-np.inf, below), (below, t), (t, np.inf))
        )
        return inertia_from_counts(
            negative,
            inner,
            positive,
            dim=self.dim,
            tol=tol,
            scale=scale,
            resolution=self.resolution + margin,
            confidence=confidence,
        )

    def rank(self, tol: float = 1e-6, *, confidence: float = 0.999) -> Count:
        r"""Number of eigenvalues with $|\lambda| > \mathrm{tol} \max|\lambda|$, see `inertia`."""
        return self.inertia(tol, confidence=confidence).rank

    def rank_profile(
        self, tols: npt.ArrayLike | None = None, *, confidence: float = 0.999
    ) -> RankProfile:
        """Counts as in `inertia` for several thresholds.

        Args:
            tols: relative thresholds; by default four per decade from 1e-2 to 1e-14.
            confidence: probability that the brackets of one threshold hold.

        Raises:
            InputError: if an argument is out of range.
        """
        fraction("confidence", confidence)
        return rank_profile_of(self.inertia, tols, confidence, self.dim, self.exact)

    def cdf_band(self, x: npt.ArrayLike, *, confidence: float = 0.95) -> Band:
        r"""Fraction of eigenvalues up to x, with error bands.

        Args:
            x: finite points, shape (k,).
            confidence: probability that the interval at a point contains the true value, over the
                random probes.

        Raises:
            InputError: for points that are not finite, or a confidence outside (0, 1).
        """
        return distribution_band(self, _points(x), fraction("confidence", confidence))

    def integral(
        self, f: Callable[[FloatArray], FloatArray], *, confidence: float = 0.95
    ) -> Integral:
        r"""$\int f d\mu$ by the Gauss rules, with its Monte-Carlo standard error.

        The fractions of |z|^2 that the eigenvectors carry have a Dirichlet law, so that the mean of
        f over P probes in d dimensions has the variance
        $2 (\int f^2 d\mu - (\int f d\mu)^2) / (d P + 2)$: the rules give both integrals, with
        smaller error than the sample variance of a few probes. Rules of one node give only the
        first; then the error is the sample estimate, infinite for one probe.

        The error of the rules themselves is not included; it is zero for polynomials of degree less
        than twice the steps. For an exact spectrum the interval is the range of f at the
        eigenvalues plus and minus the resolution.

        Args:
            f: a function of an array.
            confidence: probability that the interval contains the true value, over the random
                probes.
        """
        function("f", f)
        fraction("confidence", confidence)
        return exact_mean(f, self) if self.exact else estimated_mean(f, self, confidence)

    def density(
        self,
        x: npt.ArrayLike,
        width: float | None = None,
        *,
        confidence: float = 0.95,
        linear: float | None = None,
    ) -> Band:
        r"""Density smoothed by a Gaussian kernel, for plots.

        The band of an estimate is the sum of the algorithmic error (`algorithmic`, see
        `smoothing.smoothed`: an estimate if the nodes are dense relative to the kernel, bounds
        otherwise) and a Student-t interval over the probes. If it is wide, use a wider kernel or
        more steps.

        Args:
            x: points, shape (k,).
            width: standard deviation of the kernel, in units of x or, with `linear`, of t; by
                default 0.02 of the range of the nodes. Steps resolve about (range of the spectrum)
                / steps; 0.15 with `linear` at a hundredth of the largest eigenvalue is used in
                reports.
            confidence: of the interval over the probes.
            linear: if given, the density is per unit of $t = \mathrm{asinh}(x / \mathrm{linear})$,
                linear near zero and logarithmic beyond: for spectra over many decades.

        Raises:
            InputError: if an argument is out of range.
        """
        points = _points(x)
        fraction("confidence", confidence)
        linear = None if linear is None else positive("linear", linear)

        def scaled(values: FloatArray) -> FloatArray:
            return values if linear is None else np.asarray(np.arcsinh(values / linear))

        if width is None:
            width = _KERNEL * float(np.ptp(scaled(self.nodes))) or 1.0
        return density_band(self, points, scaled, positive("width", width), confidence)

    def __repr__(self) -> str:
        low, high = self.support()
        if self.exact:
            return f"Spectrum({self.dim} eigenvalues in [{low:.6g}, {high:.6g}], exact)"
        steps = max(rule.diagonal.size for rule in self.rules)
        known = f"{self.known.size} eigenvalues, " if self.known.size else ""
        return (
            f"Spectrum(estimated: {known}{self.probes} probes x {steps} steps in "
            f"[{low:.6g}, {high:.6g}], {self.num_matvecs} products)"
        )


def _points(x: npt.ArrayLike) -> FloatArray:
    points = reals("x", x).reshape(-1)
    if not np.isfinite(points).all():
        msg = f"x: {int((~np.isfinite(points)).sum())} of {points.size} points are not finite"
        raise InputError(msg)
    return points
