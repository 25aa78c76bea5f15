r"""Quadratures of $f(\lambda)$ in random directions, each between two rules of Lanczos steps."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch

from hessium._random import Rng
from hessium._typing import FloatArray
from hessium.errors import InputError, NonFiniteError
from hessium.estimate.definiteness import indefinite_error, require_bound
from hessium.estimate.estimates import SpectralSum, middle, spread
from hessium.estimate.probe_stream import Source
from hessium.estimate.probes import sphere
from hessium.linalg.lanczos import lanczos_rules
from hessium.linalg.operator import SymmetricOperator
from hessium.progress import Progress
from hessium.spectra import DiscreteMeasure
from hessium.spectra.gauss_rule import GaussRule

FAILURE = 1e-6  # probability that the bound on the spectrum found from random starts is wrong


class Quadratures:
    """Lanczos runs of the probes, each checked for positive definiteness.

    Args:
        op: A.
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
        shift: float,
        probes: int,
        steps: int,
        smallest: float | None,
        rng: Rng,
        max_bytes: int,
        progress: Progress,
    ) -> None:
        self._source = Source(op, probes * steps, rng, max_bytes, progress)
        self._shift, self._smallest, self._steps = float(shift), smallest, steps
        operator = self._source.operator
        shares = operator.shares
        whole = operator.shape[0] + shares.beside if shares.divided else 0
        each = ((min(steps, shares.dim) + 4) * shares.largest + whole) * operator.dtype.itemsize
        if each > max_bytes:
            msg = (
                f"max_bytes: {max_bytes / 2**30:.3g} GiB; {steps} steps need {each / 2**30:.3g} "
                "GiB of vectors (reduce steps, or raise it)"
            )
            raise InputError(msg)
        self._runs: list[GaussRule] = []
        while len(self._runs) < probes:
            self._run(min(probes - len(self._runs), max_bytes // each))

    def total(self, f: Callable[[FloatArray], FloatArray]) -> SpectralSum:
        """Of f at the eigenvalues plus the shift; f is increasing, concave, and so on."""
        n = self._source.operator.shape[0]
        bound = self._bound()

        def integral(rule: tuple[FloatArray, FloatArray]) -> float:
            return n * float(rule[1] @ f(rule[0] + self._shift))

        brackets = np.array(
            [
                (integral(run.radau(bound)) if bound > -np.inf else -np.inf, integral(run.gauss()))
                for run in self._runs
            ]
        )
        exhausted = np.array([run.complete for run in self._runs])
        brackets[exhausted, 0] = brackets[exhausted, 1]
        samples = middle(brackets)
        lower, upper = brackets.mean(axis=0)
        return SpectralSum(
            value=float(samples.mean()),
            lower=float(lower),
            upper=float(upper),
            stderr=spread(samples) / len(samples) ** 0.5,
            num_matvecs=self._source.num_matvecs,
            steps=self._steps,
            brackets=brackets,
            smallest=bound,
        )

    def _run(self, count: int) -> None:
        """Run `count` more probes as one block."""
        try:
            starts = self._source.draw(sphere, count)
            made = lanczos_rules(self._source.operator, starts, self._steps, self._source.count)
        except NonFiniteError as error:
            raise NonFiniteError(str(error), partial=self._measure()) from error
        self._runs += made
        nodes = np.concatenate([run.gauss()[0] for run in made])
        lowest, size = float(nodes.min()), float(np.abs(nodes).max())
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

    def _bound(self) -> float:
        """Lower bound on the eigenvalues above minus the shift; minus infinity if there is none."""
        nodes = np.concatenate([run.gauss()[0] for run in self._runs])
        low, high = float(nodes.min()), float(nodes.max())
        rounding = self._rounding(max(abs(low), abs(high)))
        if self._smallest is not None:
            require_bound(self._smallest, low, rounding, "a Ritz value")
        bounds = [low - self._uncertainty() * (high - low) - rounding]
        if self._smallest is not None:
            bounds.append(min(self._smallest, low - rounding))
        bound = max(bounds)
        return bound if bound + self._shift > 0 else -math.inf

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
        n = self._source.operator.shape[0]
        if any(run.complete for run in self._runs):
            return 0.0
        q = (FAILURE / 2) ** (1 / len(self._runs))
        epsilon = (math.log(1.648 * n**0.5 / q) / (2 * self._steps - 1)) ** 2
        return epsilon / (1 - 2 * epsilon) if epsilon < 0.5 else math.inf
