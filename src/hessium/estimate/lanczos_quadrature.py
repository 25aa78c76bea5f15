r"""Quadratures of $f(\lambda)$ in random directions, each between two rules of Lanczos steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from hessium._random import Rng
from hessium._typing import FloatArray
from hessium.errors import InputError, NonFiniteError
from hessium.estimate.definiteness import indefinite_error, require_bound
from hessium.estimate.deflation import Deflated
from hessium.estimate.estimates import SpectralSum, middle, spread
from hessium.estimate.probe_stream import Source
from hessium.estimate.probes import sphere
from hessium.linalg.lanczos import lanczos_rules
from hessium.linalg.operator import SymmetricOperator
from hessium.progress import Progress
from hessium.spectra import DiscreteMeasure
from hessium.spectra.gauss_rule import GaussRule

FAILURE = 1e-6  # probability that the bound on the spectrum found from random starts is wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class Summand:
    """f, whose odd derivatives are positive and even ones negative, at arguments above zero.

    Attributes:
        value: f.
        slope: f', decreasing.
        bend: -f'', decreasing.
    """

    value: Callable[[FloatArray], FloatArray]
    slope: Callable[[float], float]
    bend: Callable[[float], float]


class Quadratures:
    """Lanczos runs of the probes, each checked for positive definiteness.

    Args:
        op: A.
        deflated: eigenpairs of A that are projected out of the probes and summed themselves.
        shift: s.
        probes: number of probes.
        steps: Lanczos steps for each.
        smallest: lower bound on the eigenvalues of A; None if none is known.
        rng: seed or generator.
        max_bytes: memory limit for the Krylov bases.
        progress: called with products done and in all.

    Raises:
        InputError: if one basis does not fit.
        IndefiniteError: if a Ritz value shows that A + sI is not positive definite.
        NonFiniteError: if a product is not finite.
    """

    def __init__(
        self,
        op: SymmetricOperator,
        deflated: Deflated,
        shift: float,
        probes: int,
        steps: int,
        smallest: float | None,
        rng: Rng,
        max_bytes: int,
        progress: Progress,
    ) -> None:
        self._source = Source(op, probes * steps, rng, max_bytes, progress)
        operator = self._source.operator
        self._deflated, self._room = deflated, operator.shape[0] - deflated.values.size
        self._shift, self._smallest = float(shift), smallest
        self._steps = steps = min(steps, self._room)
        self._runs: list[GaussRule] = []
        if deflated.values.size:
            self._require_definite(deflated.values)
        shares = operator.shares
        whole = operator.shape[0] + shares.beside if shares.divided else 0
        size = operator.dtype.itemsize
        each = ((min(steps, shares.dim) + 4) * shares.largest + whole) * size
        max_bytes -= deflated.values.size * shares.largest * size
        if each > max_bytes:
            msg = (
                f"max_bytes: {max_bytes / 2**30:.3g} GiB; {steps} steps need {each / 2**30:.3g} "
                "GiB of vectors (reduce steps, or raise it)"
            )
            raise InputError(msg)
        while len(self._runs) < probes:
            self._run(min(probes - len(self._runs), max_bytes // each))

    def total(self, f: Summand) -> SpectralSum:
        r"""Of f at the eigenvalues plus the shift.

        With the residuals R of the deflated pairs, A differs from its part A' in and beside their
        space by an off-diagonal matrix of nuclear norm at most $2 \sum_i |R_i|$ and squared
        Frobenius norm $2 |R|_F^2$. As f is concave, $\mathrm{tr} f(A)$ is at most
        $\mathrm{tr} f(A')$, and Taylor's formula to first and second order bounds the difference.
        """
        beside, smallest = self._bounds()
        known = float(f.value(self._deflated.values + self._shift).sum())

        def integral(rule: tuple[FloatArray, FloatArray]) -> float:
            return known + self._room * float(rule[1] @ f.value(rule[0] + self._shift))

        upper = np.array([integral(run.gauss()) for run in self._runs])
        lower = np.full(upper.size, -np.inf)
        for i, run in enumerate(self._runs):
            if run.complete:
                lower[i] = upper[i]
            elif beside > -np.inf:
                lower[i] = integral(run.radau(beside))
        brackets = np.stack([lower - self._lost(f, smallest), upper], axis=1)
        samples = middle(brackets)
        low, high = brackets.mean(axis=0)
        return SpectralSum(
            value=float(samples.mean()),
            lower=float(low),
            upper=float(high),
            stderr=spread(samples) / len(samples) ** 0.5,
            num_matvecs=self._deflated.num_matvecs + self._source.num_matvecs,
            steps=self._steps,
            brackets=brackets,
            smallest=smallest,
        )

    def _lost(self, f: Summand, smallest: float) -> float:
        r"""Bound on $\mathrm{tr} f(A') - \mathrm{tr} f(A)$ by the residuals."""
        residuals = self._deflated.residuals
        if not residuals.size:
            return 0.0
        if smallest == -math.inf:
            return math.inf
        x = smallest + self._shift
        return float(min(2 * f.slope(x) * residuals.sum(), f.bend(x) * (residuals**2).sum()))

    def _run(self, count: int) -> None:
        """Run `count` more probes as one block."""
        operator, source = self._source.operator, self._source
        try:
            made = lanczos_rules(
                operator,
                source.draw(sphere, count),
                self._steps,
                source.count,
                lambda vector: self._deflated.project_out_(vector, operator.shares, passes=2),
            )
        except NonFiniteError as error:
            raise NonFiniteError(str(error), partial=self._measure()) from error
        self._runs += made
        self._require_definite(np.concatenate([run.gauss()[0] for run in made]))

    def _require_definite(self, ritz: FloatArray) -> None:
        lowest, size = float(ritz.min()), float(np.abs(ritz).max())
        if lowest + self._shift <= 0:
            raise indefinite_error(
                self._source.operator,
                lowest,
                self._shift,
                "a Ritz value",
                -lowest < self._rounding(size),
                self._measure(),
            )

    def _measure(self) -> DiscreteMeasure | None:
        """Mixture of all Gauss rules so far."""
        rules = [run.gauss() for run in self._runs]
        parts = [DiscreteMeasure(nodes=x, weights=w / w.sum()) for x, w in rules]
        return DiscreteMeasure.mixture(parts) if parts else None

    def _bounds(self) -> tuple[float, float]:
        """Lower bounds on the eigenvalues beside the deflated ones, and on all eigenvalues of A.

        Minus infinity if there is none above minus the shift.
        """
        nodes = np.concatenate([run.gauss()[0] for run in self._runs])
        low, high = float(nodes.min()), float(nodes.max())
        rounding = self._rounding(max(abs(low), abs(high)))
        beside = low - self._uncertainty() * (high - low) - rounding
        departure = float(np.linalg.norm(self._deflated.residuals))
        smallest = min(beside, float(self._deflated.values.min(initial=math.inf))) - departure
        if self._smallest is not None:
            lowest = min(low, float(self._deflated.values.min(initial=math.inf)))
            require_bound(self._smallest, lowest, rounding, "a Ritz value")
            known = min(self._smallest, low - rounding)
            beside, smallest = max(beside, known), max(smallest, known)
        least = -self._shift
        return (
            beside if beside > least else -math.inf,
            smallest if smallest > least else -math.inf,
        )

    def _rounding(self, size: float) -> float:
        """Rounding error of a Ritz value."""
        return float(32 * torch.finfo(self._source.operator.dtype).eps * size)

    def _uncertainty(self) -> float:
        r"""Bound on the distance of an eigenvalue below the Ritz values, relative to their range.

        A start uniform on the sphere misses the end of the spectrum by more than $\epsilon$ times
        its width with probability below $q = 1.648 \sqrt n \exp(-\sqrt\epsilon (2k - 1))$
        (Kuczynski & Wozniakowski 1992, theorem 4.2); p starts all miss it with $q^p$. Both ends are
        needed, as the width is not known either.
        """
        n = self._room
        if any(run.complete for run in self._runs):
            return 0.0
        q = (FAILURE / 2) ** (1 / len(self._runs))
        epsilon = (math.log(1.648 * n**0.5 / q) / (2 * self._steps - 1)) ** 2
        return epsilon / (1 - 2 * epsilon) if epsilon < 0.5 else math.inf
