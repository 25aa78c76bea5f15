"""Trace and Frobenius norm from matrix-vector products, with standard errors."""

from __future__ import annotations

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from hessium._arithmetic import full_precision
from hessium._random import Rng
from hessium._typing import FloatArray
from hessium.estimate.estimates import Estimate, NormEstimate, exactly, from_samples
from hessium.estimate.probe_stream import Source, one_of, require_squares
from hessium.estimate.probes import signs, sphere
from hessium.linalg.adapt import Operator
from hessium.linalg.leave_one_out import square_estimates, trace_estimates
from hessium.linalg.operator import SymmetricOperator
from hessium.linalg.sketch import Sketch, gram64, missed_part, to_float64
from hessium.progress import Progress, silent

FEWEST = 6  # products of the smallest sketch with a standard error: three probes, twice
LOOK_FROM = 24  # products; with fewer, a choice based on half of the probes would bias the result


@full_precision()
def trace(
    op: Operator | SymmetricOperator | Tensor,
    matvecs: int = 100,
    *,
    method: str = "auto",
    rng: Rng = 0,
    max_bytes: int = 2**33,
    progress: Progress = silent,
) -> Estimate:
    r"""Unbiased estimate of $\mathrm{tr} A$ from `matvecs` products, with a standard error.

    - "hutchinson": the mean of $\omega^T A \omega$ over random signs. Variance
      $2 (\|A\|_F^2 - \sum_i a_{ii}^2) / N$ with N products. Holds one block of vectors.
    - "hutch++": N/3 products span a subspace, N/3 give the trace inside it exactly, N/3 estimate
      the rest (Meyer, Musco, Musco & Woodruff 2021, algorithm 1).
    - "xtrace": N/2 probes span the subspace, and each one estimates the rest of a sketch by the
      others (Epperly, Tropp & Webber 2024, section 2.3). The standard error includes the dependence
      of these estimates, unlike that of the source. If the probes show that most eigenvalues are
      close to one number c, cI is subtracted first, since its trace is known.
    - "auto": half of the products, then xtrace or hutchinson, whichever has the smaller predicted
      variance: xtrace if eigenvalues decay or stand out, hutchinson on flat spectra. With fewer
      than 24 products always xtrace: a choice based on few probes that are then used would bias the
      estimate downwards.
    - "exact": products with all n unit vectors; "auto" does this if matvecs >= n.

    Args:
        op: an operator, or a symmetric tensor.
        matvecs: N, the total number of products, for every method.
        method: see above.
        rng: seed or generator.
        max_bytes: memory limit for vectors (8 GiB); "auto" uses "hutchinson" if a sketch, five
            times N/2 vectors, needs more.
        progress: called with products done and in all.

    Raises:
        InputError: for a bad argument, or a sketch that does not fit.
        NonFiniteError: if a product is not finite; `partial` holds the samples before it.

    Cost: at most N products; for a sketch $O(n N^2)$ operations.

    Example:
        >>> hs.trace(torch.eye(5, dtype=torch.float64)).value
        5.0
    """
    one_of(method, ("auto", "hutchinson", "hutch++", "xtrace", "exact"))
    source = Source(op, matvecs, rng, max_bytes, progress)
    n = source.operator.shape[0]
    if method == "exact" or (method == "auto" and matvecs >= n):
        diagonal = source.operator.dense(max_bytes=source.max_bytes).diagonal()
        return exactly(float(diagonal.sum(dtype=torch.float64)), num_matvecs=n)
    half = matvecs // 2
    if method == "hutch++":
        return _hutch_plus_plus(source)
    if method == "hutchinson" or (
        method == "auto" and (matvecs < FEWEST or not source.holds(half))
    ):
        return _plain(source.forms(signs, matvecs, _quadratic), source)
    source.require_sketch(method, half, FEWEST)
    omega = source.draw(sphere, half)
    images = source.images(omega)
    level, beyond = _bulk(omega, images)
    if method == "auto" and matvecs >= LOOK_FROM:
        forms = to_float64(_quadratic(omega, images))
        # of one probe, on the sphere: 2 (|A|_F^2 - (tr A)^2 / n)
        plain = 2 * (to_float64(_length(omega, images)).mean() - forms.mean() ** 2 / n)
        # factor 2 for two products per estimate, factor 2 for the dependence of the estimates
        if 4 * missed_part(beyond).mean() >= plain:
            del omega, images, beyond
            more = source.forms(sphere, matvecs - half, _quadratic)
            return _plain(np.concatenate([forms, more]), source)
    del images
    sketch = Sketch.of(beyond)
    overlap = to_float64(sketch.basis.mT @ omega)
    del beyond, omega
    compressed = to_float64(sketch.basis.mT @ source.images(sketch.basis)) - level * np.eye(half)
    compressed = (compressed + compressed.T) / 2
    samples, variance = trace_estimates(sketch, overlap, compressed)
    return _exchangeable(samples + level * n, variance, source, "xtrace")


@full_precision()
def frobenius_norm(
    op: Operator | SymmetricOperator | Tensor,
    matvecs: int = 100,
    *,
    method: str = "auto",
    rng: Rng = 0,
    max_bytes: int = 2**33,
    progress: Progress = silent,
) -> NormEstimate:
    r"""$\|A\|_F = (\sum_i \lambda_i^2)^{1/2}$ from `matvecs` products.

    Its square is estimated without bias: by the mean of $\|A\omega\|^2$ ("hutchinson"), or by
    $\|A P_i\|_F^2 + \|(I - P_i) A \omega_i\|^2$ with the projector of the other probes
    ("exchangeable", after Epperly, Tropp & Webber 2024). "auto" and "exact" as in `trace`.

    Arguments, errors and cost as in `trace`.

    Example:
        >>> hs.frobenius_norm(2 * torch.eye(4, dtype=torch.float64)).value
        4.0
    """
    one_of(method, ("auto", "hutchinson", "exchangeable", "exact"))
    source = Source(op, matvecs, rng, max_bytes, progress)
    n = source.operator.shape[0]
    if method == "exact" or (method == "auto" and matvecs >= n):
        matrix = source.operator.dense(max_bytes=source.max_bytes)
        require_squares(matrix)
        square = float(matrix.square().sum(dtype=torch.float64))
        return NormEstimate(square=exactly(square, num_matvecs=n))
    half = matvecs // 2
    if method == "hutchinson" or (
        method == "auto" and (matvecs < FEWEST or not source.holds(half))
    ):
        return NormEstimate(square=_plain(source.forms(signs, matvecs, _length), source))
    source.require_sketch(method, half, FEWEST)
    omega = source.draw(signs, half)
    images = source.images(omega)
    if method == "auto" and matvecs >= LOOK_FROM:
        lengths = to_float64(_length(omega, images))
        if 4 * missed_part(images).var(ddof=1) >= lengths.var(ddof=1):
            del omega, images
            more = source.forms(signs, matvecs - half, _length)
            return NormEstimate(square=_plain(np.concatenate([lengths, more]), source))
    sketch = Sketch.of(images)
    del omega, images
    pushed = source.images(sketch.basis)
    samples, variance = square_estimates(sketch, gram64(pushed))
    return NormEstimate(square=_exchangeable(samples, variance, source, "exchangeable"))


def _hutch_plus_plus(source: Source) -> Estimate:
    third = source.matvecs // 3
    source.require_sketch("hutch++", third, FEWEST)
    basis, _ = torch.linalg.qr(source.images(source.draw(signs, third)))
    inside = float((basis * source.images(basis)).sum(dtype=torch.float64))
    left = source.draw(signs, source.matvecs - 2 * third)
    left -= basis @ (basis.mT @ left)
    samples = inside + to_float64(_quadratic(left, source.images(left)))
    return from_samples(samples, num_matvecs=source.num_matvecs, method="hutch++")


def _bulk(omega: Tensor, images: Tensor) -> tuple[float, Tensor]:
    """The number c near most eigenvalues and the images under A - cI, or 0 and the images.

    A sketch of A would resolve the few other eigenvalues up to a remainder of order c, common to
    all probes and skewed, which hides the spread of the bulk.
    """
    metric = to_float64(omega.mT @ omega)
    ritz = scipy.linalg.eigvalsh(to_float64(omega.mT @ images), metric)
    level = float(np.median(ritz))
    beyond = torch.add(images, omega, alpha=-level)
    # a clear margin, so that the choice does not depend on the draw
    clear = 10 * missed_part(beyond).mean() < missed_part(images).mean()
    return (level, beyond) if clear else (0.0, images)


def _quadratic(probes: Tensor, images: Tensor) -> Tensor:
    # column by column: six times as fast as a sum over the rows of the block
    columns = zip(probes.unbind(1), images.unbind(1), strict=True)
    return torch.stack([(p * i).sum(dtype=torch.float64) for p, i in columns])


def _length(probes: Tensor, images: Tensor) -> Tensor:
    return torch.stack([column.double().square().sum() for column in images.unbind(1)])


def _plain(samples: FloatArray, source: Source) -> Estimate:
    return from_samples(samples, num_matvecs=source.num_matvecs, method="hutchinson")


def _exchangeable(samples: FloatArray, variance: float, source: Source, method: str) -> Estimate:
    return Estimate(
        value=float(samples.mean()),
        stderr=variance**0.5,
        num_matvecs=source.num_matvecs,
        method=method,
        samples=samples,
    )
