"""The spectral measure of a large operator by stochastic Lanczos quadrature, with its errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.special
import scipy.stats

from hessium._arguments import end, fraction, function, nonnegative, positive, reals
from hessium._typing import FloatArray
from hessium.errors import InputError
from hessium.estimate.results import Count
from hessium.estimate.smoothing import gaussian_kernel, smoothed
from hessium.linalg.quadrature import GaussRule
from hessium.measure import DiscreteMeasure


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Band:
    """A function on points with two errors, kept apart.

    Attributes:
        x: points, shape (k,).
        value: the estimate.
        lower: lower end of both errors together.
        upper: upper end of both errors together.
        algorithmic: half-width that is left if the probes were all vectors there are: what the
            number of steps leaves open; NaN where no bound is known.
        level: probability that the truth lies between `lower` and `upper`, at each point.
    """

    x: FloatArray
    value: FloatArray
    lower: FloatArray
    upper: FloatArray
    algorithmic: FloatArray
    level: float

    def __repr__(self) -> str:
        half = float((self.upper - self.lower).max()) / 2
        return f"Band({self.x.size} points, +- {half:.2g} at most, level {self.level:g})"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class SpectralEstimate(DiscreteMeasure):
    r"""An empirical spectral distribution known through Gauss rules of random vectors.

    The measure is $\frac1n \sum_{i \le k} \delta_{\lambda_i}$ for the k eigenvalues known exactly,
    and for the others the average of the rules of Gaussian vectors z in their complement, weighted
    by $|z|^2$: unbiased in all moments that the rules integrate.

    Two errors. Algorithmic: a rule of m nodes leaves open how much mass of its vector lies left of
    x, between sharp bounds (Chebyshev, Markov, Stieltjes). Monte-Carlo: the fraction of |z|^2 of P
    Gaussian vectors in a subspace of dimension d of N has the law
    $\mathrm{Beta}(dP/2, (N-d)P/2)$ exactly, which inverted gives intervals for d without any
    normal approximation, for one negative eigenvalue as for a million.

    Attributes:
        rules: one for each probe.
        exact: eigenvalues known, deflated from the probes, shape (k,).
        dim: n, the size of the operator.
        resolution: size of the rounding of an eigenvalue.
        num_matvecs: products spent.
        nonnegative: no eigenvalue is negative, whatever rounding and probes leave open.
        rank_bound: no more eigenvalues than this differ from zero; None where no less than n is
            known.
    """

    rules: tuple[GaussRule, ...]
    exact: FloatArray
    dim: int
    resolution: float
    num_matvecs: int
    nonnegative: bool = False
    rank_bound: int | None = None

    @classmethod
    def of(
        cls,
        rules: tuple[GaussRule, ...],
        exact: FloatArray,
        *,
        dim: int,
        resolution: float,
        num_matvecs: int,
        nonnegative: bool = False,
        rank_bound: int | None = None,
    ) -> SpectralEstimate:
        """Put rules and known eigenvalues together."""
        total = sum(rule.mass for rule in rules)
        nodes, weights = [exact], [np.full(exact.size, 1.0 / dim)]
        for rule in rules:
            points, masses = rule.gauss()
            nodes.append(points)
            weights.append(masses * (rule.mass / total) * ((dim - exact.size) / dim))
        return cls(
            nodes=np.concatenate(nodes),
            weights=np.concatenate(weights),
            rules=rules,
            exact=exact,
            dim=dim,
            resolution=resolution,
            num_matvecs=num_matvecs,
            nonnegative=nonnegative,
            rank_bound=rank_bound,
        )

    @property
    def probes(self) -> int:
        """Random vectors that took part."""
        return len(self.rules)

    def count(self, a: float, b: float, *, level: float = 0.95, margin: float = 0.0) -> Count:
        r"""How many eigenvalues lie in (a, b].

        Args:
            a: lower end, may be -inf.
            b: upper end, may be inf.
            level: probability that the bracket holds the truth, over the draw of the probes.
            margin: how uncertain a and b are; the resolution is added.

        Raises:
            InputError: for an empty interval or a bad level.
        """
        a, b, margin = end("a", a), end("b", b), nonnegative("margin", margin)
        if not a < b:
            msg = f"a, b: ({a}, {b}] is no interval; a < b is required"
            raise InputError(msg)
        alpha = check_level(level)
        if self.nonnegative and a < 0:
            if b < 0:
                return Count(value=0, lower=0, upper=0, level=level)
            a = -math.inf
        delta = self.resolution + margin
        inside = (self.exact > a) & (self.exact <= b)
        surely = (self.exact > a + delta) & (self.exact <= b - delta)
        perhaps = (self.exact > a - delta) & (self.exact <= b + delta)
        low, high = self._pooled(a, b, delta)
        rest = self.dim - self.exact.size
        lowest, highest = _dimensions(low, high, rest, self.probes, alpha)
        least, most = math.ceil(lowest), math.floor(highest)
        if least > most:  # no integer between: an unlikely draw, of which the neighbours are left
            least, most = most, least
        middle = round(rest * (low + high) / 2)
        lower, upper = int(surely.sum()) + least, int(perhaps.sum()) + most
        nonzero = self.dim if self.rank_bound is None else self.rank_bound
        if a < 0 <= b:
            lower, upper = max(lower, self.dim - nonzero), max(upper, self.dim - nonzero)
        else:
            lower, upper = min(lower, nonzero), min(upper, nonzero)
        value = int(inside.sum()) + min(max(middle, least), most)
        return Count(
            value=min(max(value, lower), upper),
            lower=lower,
            upper=upper,
            level=level,
            method="quadrature",
        )

    def cdf_band(self, x: npt.ArrayLike, *, level: float = 0.95) -> Band:
        r"""Fraction of eigenvalues up to x, with both errors.

        Args:
            x: finite points, shape (k,).
            level: probability that a point's interval holds the truth, over the draw of the probes.

        Raises:
            InputError: for points that are not finite, or a bad level.
        """
        points = _points(x)
        alpha = check_level(level)
        rest = self.dim - self.exact.size
        surely, known, perhaps = (
            (self.exact[:, None] <= points + shift).sum(axis=0)
            for shift in (-self.resolution, 0.0, self.resolution)
        )
        low, high = self._pooled_below(points - self.resolution, points + self.resolution)
        if self.nonnegative:
            low, high = np.where(points < 0, 0.0, low), np.where(points < 0, 0.0, high)
        ends = np.array(
            [_dimensions(a, b, rest, self.probes, alpha) for a, b in zip(low, high, strict=True)]
        ).reshape(-1, 2)
        return Band(
            x=points,
            value=(known + rest * (low + high) / 2) / self.dim,
            lower=(surely + ends[:, 0]) / self.dim,
            upper=(perhaps + ends[:, 1]) / self.dim,
            algorithmic=rest * (high - low) / 2 / self.dim,
            level=level,
        )

    def integral(self, f: Callable[[FloatArray], FloatArray]) -> tuple[float, float]:
        r"""$\int f d\mu$ by the Gauss rules, and its Monte-Carlo standard error.

        The fractions of |z|^2 that the eigenvectors carry have a Dirichlet law, so that the mean of
        f over P probes in d dimensions has the variance
        $2 (\int f^2 d\mu - (\int f d\mu)^2) / (d P + 2)$: the rules know both integrals, and far
        better than the scatter of a few probes would tell it. Rules of one node know only the first
        of them; then the error is that scatter, infinite for one probe.

        The error of the rules themselves is not in it; it is zero for polynomials of degree less
        than twice the steps.
        """
        function("f", f)
        total = sum(rule.mass for rule in self.rules)
        mean = square = 0.0
        for rule in self.rules:
            nodes, weights = rule.gauss()
            values, share = f(nodes), weights * (rule.mass / total)
            mean += float(share @ values)
            square += float(share @ values**2)
        rest = self.dim - self.exact.size
        value = (float(f(self.exact).sum()) + rest * mean) / self.dim
        if any(rule.diagonal.size == 1 and not rule.complete for rule in self.rules):
            variance = self._scatter(f, mean)
        else:
            variance = 2 * max(0.0, square - mean**2) / (rest * self.probes + 2)
        return value, rest / self.dim * math.sqrt(variance)

    def _scatter(self, f: Callable[[FloatArray], FloatArray], mean: float) -> float:
        """Variance of the weighted mean over probes, from the probes themselves."""
        count = self.probes
        if count < 2:
            return math.inf
        masses = np.array([rule.mass for rule in self.rules])
        parts = np.array([weights @ f(nodes) for nodes, weights in (r.gauss() for r in self.rules)])
        spread = masses / masses.sum() * (parts - mean)
        return float((spread**2).sum() * count / (count - 1))

    def density(
        self, x: npt.ArrayLike, width: float, *, level: float = 0.95, linear: float | None = None
    ) -> Band:
        r"""Density smoothed by a Gaussian kernel, for plots.

        The band adds what the steps leave open (`algorithmic`, see `smoothing.smoothed`: an
        estimate where the nodes are dense beside the kernel, bounds where they are not) and a
        Student-t interval over the probes. Where it is wide, take a wider kernel or more steps.

        Args:
            x: points, shape (k,).
            width: standard deviation of the kernel, in units of x or, with `linear`, of t. Steps
                resolve about (range of the spectrum) / steps; 0.15 with `linear` at a hundredth of
                the largest eigenvalue is what the reports draw.
            level: of the interval over the probes.
            linear: if given, the density is per unit of $t = \mathrm{asinh}(x / \mathrm{linear})$,
                linear near zero and logarithmic beyond: for spectra over many decades.
        """
        points = _points(x)
        check_level(level)
        width = positive("width", width)
        linear = None if linear is None else positive("linear", linear)

        def scaled(values: FloatArray) -> FloatArray:
            return values if linear is None else np.asarray(np.arcsinh(values / linear))

        t = scaled(points)
        rest = (self.dim - self.exact.size) / self.dim
        each = np.full(self.exact.size, 1.0 / self.dim)
        known = gaussian_kernel(t, scaled(self.exact), each, width)
        masses = np.array([rule.mass for rule in self.rules])
        curves = [smoothed(rule, t, scaled, width) for rule in self.rules]
        share = masses / masses.sum()
        centre = share @ np.array([curve.value for curve in curves])
        least = share @ np.array([curve.lower for curve in curves])
        most = share @ np.array([curve.upper for curve in curves])
        count = len(curves)
        half = np.full(points.size, math.inf)
        if count > 1:
            parts = share[:, None] * (np.array([curve.value for curve in curves]) - centre)
            spread = np.sqrt((parts**2).sum(axis=0) * count / (count - 1))
            half = spread * float(scipy.stats.t.ppf((1 + level) / 2, count - 1))
        return Band(
            x=points,
            value=known + rest * centre,
            lower=np.maximum(known + rest * (least - half), 0.0),
            upper=known + rest * (most + half),
            algorithmic=rest * (most - least) / 2,
            level=level,
        )

    def __repr__(self) -> str:
        steps = [rule.diagonal.size for rule in self.rules]
        known = f"{self.exact.size} exact eigenvalues, " if self.exact.size else ""
        return (
            f"SpectralEstimate({known}{self.probes} probes x {max(steps)} steps in "
            f"[{self.nodes[0]:.6g}, {self.nodes[-1]:.6g}], {self.num_matvecs} products)"
        )

    def _pooled_below(self, low: FloatArray, high: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Bounds on the fraction of all |z|^2 up to a point known to lie in [low, high]."""
        total = sum(rule.mass for rule in self.rules)
        lower, upper = np.zeros(low.size), np.zeros(high.size)
        for rule in self.rules:
            bounds = rule.cdf_brackets(np.concatenate([low, high]))
            lower += rule.mass / total * bounds[0][: low.size]
            upper += rule.mass / total * bounds[1][low.size :]
        return lower, np.maximum(upper, lower)

    def _pooled(self, a: float, b: float, delta: float) -> tuple[float, float]:
        """Bounds on the fraction of all |z|^2 in (a, b], both ends uncertain by delta."""
        ends = np.array([e for e in (a, b) if math.isfinite(e)])
        lower, upper = self._pooled_below(ends - delta, ends + delta)
        low = dict(zip(ends.tolist(), lower, strict=True)) | {-math.inf: 0.0, math.inf: 1.0}
        high = dict(zip(ends.tolist(), upper, strict=True)) | {-math.inf: 0.0, math.inf: 1.0}
        return max(0.0, float(low[b] - high[a])), min(1.0, float(high[b] - low[a]))


def check_level(level: float) -> float:
    """The probability that a level leaves.

    Raises:
        InputError: if it is not in (0, 1).
    """
    return 1 - fraction("level", level)


def _points(x: npt.ArrayLike) -> FloatArray:
    points = reals("x", x).reshape(-1)
    if not np.isfinite(points).all():
        msg = f"x: {int((~np.isfinite(points)).sum())} of {points.size} points are not finite"
        raise InputError(msg)
    return points


def _dimensions(
    low: float, high: float, size: int, probes: int, alpha: float
) -> tuple[float, float]:
    r"""Dimensions d of a subspace of `size` that could show a fraction in [low, high].

    The least d with $P(B \ge \mathrm{low}) \ge \alpha/2$ and the largest with
    $P(B \le \mathrm{high}) \ge \alpha/2$, B of law Beta(d P / 2, (size - d) P / 2).
    """
    if size == 0:
        return 0.0, 0.0
    low = low if low * size > 1e-4 else 0.0  # less is rounding: one eigenvalue has about 1

    def at_most(d: float, fraction: float) -> float:
        if d <= 0:
            return 1.0
        if d >= size:
            return float(fraction >= 1)
        return float(scipy.special.betainc(d * probes / 2, (size - d) * probes / 2, fraction))

    def bisect(inside: Callable[[float], bool], good: float, bad: float) -> float:
        if inside(bad):
            return bad
        while abs(good - bad) > 1e-6 * (1 + abs(good)):
            middle = (good + bad) / 2
            good, bad = (middle, bad) if inside(middle) else (good, middle)
        return good

    upper = bisect(lambda d: at_most(d, high) >= alpha / 2, size * high, float(size))
    lower = 0.0
    if low > 0:
        likely = min(float(size), max(1.0, size * low))
        lower = bisect(lambda d: 1 - at_most(d, low) >= alpha / 2, likely, 0.0)
    # the bisection stops on the safe side
    return max(0.0, lower - 2e-6 * (1 + lower)), min(float(size), upper + 2e-6 * (1 + upper))
