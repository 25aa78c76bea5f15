"""Diagonal of an operator from matrix-vector products, with a standard error for each entry."""

from __future__ import annotations

import torch
from torch import Tensor

from hessium._arithmetic import full_precision
from hessium._random import Rng
from hessium.estimate.estimates import DiagonalEstimate
from hessium.estimate.probe_stream import Source, one_of
from hessium.estimate.probes import signs
from hessium.estimate.trace import FEWEST, LOOK_FROM
from hessium.linalg.adapt import Operator
from hessium.linalg.leave_one_out import diagonal_estimates
from hessium.linalg.operator import SymmetricOperator
from hessium.linalg.sketch import Sketch, missed_part
from hessium.progress import Progress, silent


@full_precision()
def diagonal(
    op: Operator | SymmetricOperator | Tensor,
    matvecs: int = 100,
    *,
    method: str = "auto",
    rng: Rng = 0,
    max_bytes: int = 2**33,
    progress: Progress = silent,
) -> DiagonalEstimate:
    r"""Unbiased estimates of all $a_{ii}$ from `matvecs` products, each with a standard error.

    - "hutchinson": the mean of $\omega \circ A \omega$ over random signs. Variance of entry i:
      $\sum_{j \ne i} a_{ij}^2 / N$ with N products. Holds one block of vectors and two sums.
    - "xdiag": exact on the range of a sketch by the other probes, plus an estimate of the rest
      (Epperly, Tropp & Webber 2024, section 4). The standard error includes the dependence of the
      estimates.
    - "auto": half of the products, then the method of smaller predicted total variance; with fewer
      than 24 products xdiag.
    - "exact": products with all n unit vectors; "auto" does this if matvecs >= n.

    Arguments, errors and cost as in `hessium.trace`.

    Example:
        >>> hs.diagonal(torch.eye(3, dtype=torch.float64)).value.tolist()
        [1.0, 1.0, 1.0]
    """
    one_of(method, ("auto", "hutchinson", "xdiag", "exact"))
    source = Source(op, matvecs, rng, max_bytes, progress)
    n = source.operator.shape[0]
    if method == "exact" or (method == "auto" and matvecs >= n):
        exact = source.operator.dense(max_bytes=source.max_bytes).diagonal().clone()
        return _result(exact, torch.zeros_like(exact), n, "exact", 1)
    half = matvecs // 2
    moments = _Moments()
    if method == "hutchinson" or (
        method == "auto" and (matvecs < FEWEST or not source.holds(half))
    ):
        return _hutchinson(source, moments, matvecs)
    source.require_sketch(method, half, FEWEST)
    omega = source.draw(signs, half)
    images = source.images(omega)
    if method == "auto" and matvecs >= LOOK_FROM:
        moments.add(omega * images)
        if 4 * missed_part(images).mean() >= float(moments.variance().sum()):
            del omega, images
            return _hutchinson(source, moments, matvecs - half)
    sketch = Sketch.of(images)
    del images
    value, variance = diagonal_estimates(sketch, omega, source.images(sketch.basis))
    return _result(value, variance.sqrt(), source.num_matvecs, "xdiag", half)


def _hutchinson(source: Source, moments: _Moments, count: int) -> DiagonalEstimate:
    for columns in source.operator.column_blocks(count, source.max_bytes):
        probes = source.draw(signs, columns.stop - columns.start)
        moments.add(probes * source.images(probes))
    stderr = (moments.variance() / moments.count).sqrt()
    mean, stderr = (found.to(source.operator.dtype) for found in (moments.mean, stderr))
    return _result(mean, stderr, source.num_matvecs, "hutchinson", moments.count)


class _Moments:
    """Running mean and variance of n numbers, block by block, without cancellation."""

    def __init__(self) -> None:
        self.count = 0

    def add(self, samples: Tensor) -> None:
        """Columns of (n, k) (Chan, Golub & LeVeque 1983, eq. 1.3)."""
        k = samples.shape[1]
        samples = samples.double()  # squares would under- or overflow in float32
        mean = samples.mean(1)
        square = (samples - mean[:, None]).square_().sum(1)
        if not self.count:
            self.count, self.mean, self._square = k, mean, square
            return
        change = mean - self.mean
        total = self.count + k
        self._square += square.addcmul_(change, change, value=self.count * k / total)
        self.mean += change.mul_(k / total)
        self.count = total

    def variance(self) -> Tensor:
        """Variance of one sample."""
        return self._square / (self.count - 1) if self.count > 1 else self._square + torch.inf


def _result(
    value: Tensor, stderr: Tensor, num_matvecs: int, method: str, probes: int
) -> DiagonalEstimate:
    return DiagonalEstimate(
        value=value, stderr=stderr, num_matvecs=num_matvecs, method=method, probes=probes
    )
