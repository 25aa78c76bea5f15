"""Stochastic Lanczos quadrature: which vectors, how many steps, how many probes."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from torch import Tensor

from hessium._random import Rng, generator
from hessium._typing import FloatArray
from hessium.errors import ConvergenceWarning, InputError, NonFiniteError
from hessium.estimate.eigenpairs import Eigenpairs, eigenpairs
from hessium.estimate.spectral import SpectralEstimate
from hessium.linalg.adapt import Operator, as_operator
from hessium.linalg.lanczos import LanczosProcess, Passes
from hessium.linalg.operator import SymmetricOperator
from hessium.linalg.quadrature import GaussRule
from hessium.linalg.vectors import gaussian, subtract_projection_
from hessium.progress import Progress, silent

_MOST_STEPS = 4  # times the steps asked for, where `until` may raise them
_MOST_PROBES = 400
_BESIDE = 3  # vectors beside the basis: start, product and what the operator adds to it


def spectral_measure(
    op: Operator | SymmetricOperator | Tensor,
    probes: int = 10,
    steps: int = 80,
    *,
    deflate: int | Eigenpairs = 0,
    until: float | None = None,
    reorthogonalize: Passes = 1,
    max_bytes: int = 2**33,
    rng: Rng = 0,
    progress: Progress = silent,
) -> SpectralEstimate:
    r"""The spectral distribution by stochastic Lanczos quadrature, with both its errors.

    Gaussian probes, a Gauss rule of `steps` nodes for each (Golub & Welsch 1969; Ubaru, Chen &
    Saad 2017). Eigenpairs that are known are taken out of the probes and put back exactly, with
    mass 1/n each; the probes then see the bulk alone.

    Args:
        op: an operator, or a symmetric tensor.
        probes: random vectors.
        steps: Lanczos steps for each.
        deflate: eigenpairs to take out: a number of those largest in magnitude, computed first, or
            some that are there already; those that have not converged are left in.
        until: go on until the 95 % band of the cdf is on average over the range of the bulk no
            wider than +- this: the first probe finds the number of steps that leaves half of it
            open (at most four times `steps`), then probes are added (at most 400). A warning says
            where that is not enough.
        reorthogonalize: passes of full reorthogonalisation in every step.
        max_bytes: what the basis may take.
        rng: of the probes.
        progress: called with products done and products in all.

    Raises:
        InputError: for a bad argument, or if the basis of one probe does not fit.
        NonFiniteError: if a product is not finite, with the measure so far as `partial`.

    Cost: probes x steps products, and about 2 probes x steps^2 x n multiply-adds a pass.
    """
    operator = as_operator(op)
    n = operator.shape[0]
    taken = len(deflate) if isinstance(deflate, Eigenpairs) else min(deflate, n)
    check_request(operator, probes, steps, taken, max_bytes)
    if isinstance(deflate, Eigenpairs) and deflate.dim != n:
        msg = f"deflate: eigenpairs of size {deflate.dim}; size {n} is required"
        raise InputError(msg)
    if until is not None and not 0 < until < 1:
        msg = f"until: {until}; 0 < until < 1 is required"
        raise InputError(msg)
    seeds = generator(rng)
    known = (
        deflate
        if isinstance(deflate, Eigenpairs)
        else eigenpairs(operator, min(deflate, n), rng=seeds, max_bytes=max_bytes)
        if deflate
        else None
    )
    operator = operator.prepare(probes * steps, probes)
    sampler = _Sampler(operator, known, steps, reorthogonalize, max_bytes, seeds)
    if until is None:
        sampler.run(probes, probes, progress)
        return sampler.estimate()
    sampler.find_steps(until / 2, _MOST_STEPS * steps)
    while True:
        estimate = sampler.estimate()
        missing = _probes_missing(estimate, until)
        if estimate.probes >= probes and missing == 0:
            return estimate
        if estimate.probes >= probes and (missing is None or estimate.probes >= _MOST_PROBES):
            warnings.warn(
                f"{estimate!r}: the band is wider than until = {until:g}; allow more steps, "
                "deflate more eigenpairs, or a larger until",
                ConvergenceWarning,
                stacklevel=2,
            )
            return estimate
        wanted = max(probes, min(_MOST_PROBES, estimate.probes + (missing or 0)))
        sampler.run(wanted - estimate.probes, wanted, progress)


def check_request(
    operator: SymmetricOperator, probes: int, steps: int, deflate: int, max_bytes: int
) -> None:
    """What can be known to be wrong before the first product.

    Raises:
        InputError: for a number that is too small, or if the basis of one probe does not fit.
    """
    for name, number in (("probes", probes), ("steps", steps), ("deflate", deflate)):
        least = 0 if name == "deflate" else 1
        if number < least:
            msg = f"{name}: {number}; at least {least} is required"
            raise InputError(msg)
    n = operator.shape[0]
    vectors = min(steps, n) + _BESIDE + 2 * deflate
    needed = vectors * n * operator.dtype.itemsize
    if needed > max_bytes:
        msg = (
            f"max_bytes: {max_bytes / 2**30:.3g} GiB; {vectors} vectors of size {n} for {steps} "
            f"Lanczos steps need {needed / 2**30:.3g} GiB (fewer steps, or raise it)"
        )
        raise InputError(msg)


class _Sampler:
    """Runs probes and keeps their rules."""

    def __init__(
        self,
        operator: SymmetricOperator,
        known: Eigenpairs | None,
        steps: int,
        passes: Passes,
        max_bytes: int,
        seeds: np.random.Generator,
    ) -> None:
        self._operator, self._passes, self._seeds = operator, passes, seeds
        self._exact: FloatArray = np.zeros(0)
        self._out: Tensor | None = None
        self._rules: list[GaussRule] = []
        self._products = 0
        self._residual = 0.0
        if known is not None:
            keep = known.converged & (known.values != 0)
            keep[operator.shape[0] - 1 :] = False  # one direction is left to the probes
            self._exact = known.values[keep]
            self._out = known.vectors[:, torch.as_tensor(keep)].mT.contiguous()
            self._residual = float(np.linalg.norm(known.residuals[keep]))
            self._products = known.num_matvecs
        self._room = operator.shape[0] - self._exact.size  # dimensions left to the probes
        self._steps = min(steps, self._room)
        row = operator.shape[0] * operator.dtype.itemsize
        self._vectors = max_bytes // row - 2 * self._exact.size  # that memory allows

    def run(self, probes: int, total: int, progress: Progress) -> None:
        """Add the rules of so many new probes, several at a time where products are cheaper so."""
        done = 0
        while done < probes:
            together = min(self._operator.preferred_columns, probes - done, self._fitting())
            rules = self._together(together, (len(self._rules), total), progress)
            self._rules += rules
            done += together

    def find_steps(self, error: float, most: int) -> None:
        """Grow the first probe until its brackets are as narrow as wanted, and keep the steps."""
        most = max(1, min(most, self._room, self._vectors - _BESIDE))
        process = LanczosProcess(self._start(), most, passes=self._passes)
        while not process.finished:
            self._advance([process])
            look = len(process.alphas) % 20 == 0 or process.finished
            if look and _open(process.rule()) <= error:
                break
        self._steps = len(process.alphas)
        self._rules.append(process.rule())

    def estimate(self) -> SpectralEstimate:
        """All rules so far as a measure."""
        # bounds the norms of the tridiagonal matrices (Gershgorin)
        reach = max(float(np.abs(r.diagonal).max() + 2 * r.offdiagonal.max()) for r in self._rules)
        scale = max(reach, float(np.abs(self._exact).max(initial=0.0)))
        rounding = 20 * float(torch.finfo(self._operator.dtype).eps) * scale
        return SpectralEstimate.of(
            tuple(self._rules),
            self._exact,
            dim=self._operator.shape[0],
            resolution=rounding + self._leakage(reach),
            num_matvecs=self._products,
        )

    def _leakage(self, reach: float) -> float:
        """How far the residuals of deflated pairs can move the eigenvalues of the others.

        By |R|^2 over the gap between the two sets (Mathias 1998), and never more than |R|.
        """
        if not self._exact.size:
            return 0.0
        gap = float(np.abs(self._exact).min()) - reach
        return min(self._residual, self._residual**2 / gap) if gap > 0 else self._residual

    def _together(
        self, count: int, finished: tuple[int, int], progress: Progress
    ) -> list[GaussRule]:
        processes = [
            LanczosProcess(self._start(), self._steps, passes=self._passes) for _ in range(count)
        ]
        steps = 0
        while running := [p for p in processes if not p.finished]:
            self._advance(running)
            steps += 1
            done, total = finished
            progress(done * self._steps + steps * count, total * self._steps, "products")
        return [p.rule() for p in processes]

    def _advance(self, processes: list[LanczosProcess]) -> None:
        try:
            if len(processes) == 1:
                products = [self._operator @ processes[0].direction]
            else:
                block = torch.stack([p.direction for p in processes], dim=1)
                products = list((self._operator @ block).mT.contiguous())
        except NonFiniteError as error:
            msg = f"{error} (in step {len(processes[0].alphas) + 1})"
            self._rules += [p.rule() for p in processes if p.alphas]
            partial = self.estimate() if self._rules else None
            raise NonFiniteError(msg, partial=partial) from error
        self._products += len(processes)
        for process, product in zip(processes, products, strict=True):
            if self._out is not None:
                subtract_projection_(product, self._out)
            process.absorb(product)

    def _start(self) -> Tensor:
        start = gaussian(self._operator, self._seeds)
        if self._out is not None:
            subtract_projection_(start, self._out)
            subtract_projection_(start, self._out)
        return start

    def _fitting(self) -> int:
        return max(1, self._vectors // (self._steps + _BESIDE))


def _grid(rule: GaussRule, points: int = 65) -> FloatArray:
    nodes, _ = rule.gauss()
    return np.linspace(nodes[0], nodes[-1], points)


def _open(rule: GaussRule) -> float:
    """Half-width of the brackets of one rule, averaged over its range."""
    if rule.complete:
        return 0.0
    lower, upper = rule.cdf_brackets(_grid(rule))
    return float((upper - lower).mean() / 2)


def _probes_missing(estimate: SpectralEstimate, until: float) -> int | None:
    """Probes that would narrow the band to what is wanted; None where the steps forbid it."""
    grid = np.linspace(
        min(r.gauss()[0][0] for r in estimate.rules),
        max(r.gauss()[0][-1] for r in estimate.rules),
        65,
    )
    band = estimate.cdf_band(grid)
    half = float((band.upper - band.lower).mean() / 2)
    left = float(band.algorithmic.mean())
    if half <= until:
        return 0
    if left >= until:
        return None
    factor = ((half - left) / (until - left)) ** 2
    return max(1, int(np.ceil(estimate.probes * min(factor, 4.0))) - estimate.probes)
