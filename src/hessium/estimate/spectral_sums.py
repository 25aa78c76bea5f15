r"""Sums $\sum_i f(\lambda_i)$ by stochastic Lanczos quadrature, with both errors.

For a probe $\omega$ uniform on the sphere of radius $\sqrt n$ the quadrature of A in its direction,
times n, is an unbiased estimate of the sum (Monte Carlo error). A quadrature with k nodes is
approximate (algorithmic error). Here the odd derivatives of f are positive and the even ones
negative; then the Gauss rule is an upper bound on the integral and the Gauss-Radau rule with a node
below the spectrum a lower bound (Golub & Meurant 2010, section 6.2): the two rules bracket it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
from torch import Tensor

from hessium._arguments import count, function, memory, number, positive
from hessium._arithmetic import full_precision
from hessium._random import Rng, generator
from hessium._typing import FloatArray
from hessium.errors import InputError
from hessium.estimate.definiteness import indefinite_error, require_bound
from hessium.estimate.deflation import Deflate, Deflated, number_deflated, pairs_to_deflate
from hessium.estimate.estimates import SpectralSum
from hessium.estimate.exact import exact_spectrum, fits
from hessium.estimate.lanczos_quadrature import Quadratures, Summand
from hessium.estimate.probe_stream import one_of
from hessium.linalg.adapt import Operator, as_operator
from hessium.linalg.operator import SymmetricOperator
from hessium.progress import Progress, part_of, silent

Method = Literal["auto", "exact", "quadrature"]


@full_precision()
def log_determinant(
    op: Operator | SymmetricOperator | Tensor,
    *,
    shift: float = 0.0,
    method: Method = "auto",
    probes: int = 10,
    steps: int = 80,
    smallest: float | None = None,
    deflate: Deflate = 0,
    rng: Rng = 0,
    max_bytes: int = 2**33,
    progress: Progress = silent,
) -> SpectralSum:
    r"""$\log\det(A + sI) = \sum_i \log(\lambda_i + s)$ for a positive definite $A + sI$.

    Args:
        op: A, an operator or a symmetric tensor.
        shift: s.
        method: "exact", from all eigenvalues of the matrix or its smaller companion (the Gram
            matrix of a `GaussNewton`); "quadrature"; or "auto": exact if it fits into memory.
        probes: random vectors of the quadrature.
        steps: Lanczos steps for each probe.
        smallest: a proven lower bound on the eigenvalues of A, 0 where A is known to be positive
            semidefinite. By default the bound that the random starts prove with probability 1 -
            1e-6; if it does not make A + sI positive definite, the lower end of the bracket is
            minus infinity.
        deflate: eigenpairs that enter exactly and are projected out of the probes, as in
            `spectral_measure`: a number of those largest in magnitude, or given pairs. Worthwhile
            where few eigenvalues above the shift determine the sum. The bracket includes the error
            of their residuals.
        rng: seed or generator of the quadrature.
        max_bytes: memory limit for the dense matrix and its work space, or for the Krylov bases (8
            GiB); as many probes as fit are run as one block.
        progress: called with products done and in all.

    Raises:
        InputError: for a bad argument, or a basis that does not fit.
        IndefiniteError: if A + sI is not positive definite, with the Ritz value that shows it and
            the spectrum, or the quadratures so far as a `DiscreteMeasure`.
        NonFiniteError: if a product is not finite; `partial` holds the same.

    Cost: exact, as `spectrum`. Quadrature: probes x steps products and
    $2 \, \mathrm{probes} \, \mathrm{steps}^2 n$ operations, and those of `eigenpairs` for a number
    of pairs to deflate; its error falls like
    $\exp(-4 \, \mathrm{steps} / \sqrt\kappa)$ with the condition number of A + sI.

    Source: Ubaru, Chen & Saad, SIAM J. Matrix Anal. Appl. 38, 2017, section 3.

    Example:
        >>> found = hs.log_determinant(torch.eye(3, dtype=torch.float64), shift=1.0)
        >>> round(found.value, 6)  # 3 log 2
        2.079442
    """
    log = Summand(value=_log, slope=lambda x: 1 / x, bend=lambda x: 1 / x**2)
    settings = (probes, steps, smallest, deflate, rng, max_bytes, progress)
    return _sum(op, number("shift", shift), method, log, *settings)


@full_precision()
def effective_dimension(
    op: Operator | SymmetricOperator | Tensor,
    shift: float,
    *,
    method: Method = "auto",
    probes: int = 10,
    steps: int = 80,
    smallest: float | None = None,
    deflate: Deflate = 0,
    rng: Rng = 0,
    max_bytes: int = 2**33,
    progress: Progress = silent,
) -> SpectralSum:
    r"""$\mathrm{tr} A (A + sI)^{-1} = \sum_i \lambda_i / (\lambda_i + s)$, s > 0.

    The number of parameters that the data determine under a prior of precision s (MacKay 1992, eq.
    4.8, his gamma). $A + sI$ must be positive definite; A need not be.

    Arguments, errors and cost as in `log_determinant`.

    Example:
        >>> matrix = torch.eye(4, dtype=torch.float64)
        >>> round(hs.effective_dimension(matrix, shift=1.0).value, 6)
        2.0
    """
    shift = positive("shift", shift)
    share = Summand(
        value=lambda x: 1 - shift / x,
        slope=lambda x: shift / x**2,
        bend=lambda x: 2 * shift / x**3,
    )
    settings = (probes, steps, smallest, deflate, rng, max_bytes, progress)
    return _sum(op, shift, method, share, *settings)


def _log(x: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(x))


def _sum(
    op: Operator | SymmetricOperator | Tensor,
    shift: float,
    method: str,
    f: Summand,
    probes: int,
    steps: int,
    smallest: float | None,
    deflate: Deflate,
    rng: Rng,
    max_bytes: int,
    progress: Progress,
) -> SpectralSum:
    """Sum of f at the shifted eigenvalues."""
    one_of(method, get_args(Method))
    count("probes", probes, at_least=2)
    count("steps", steps, at_least=2)
    seeds = generator(rng)
    max_bytes = memory("max_bytes", max_bytes)
    function("progress", progress, "(done, total, what) ")
    operator = as_operator(op)
    number_deflated(operator, deflate)
    if smallest is not None and not number("smallest", smallest) + shift > 0:
        msg = f"smallest: {smallest:g}; with shift {shift:g} it must be positive, or None"
        raise InputError(msg)
    if smallest is None and operator.positive_semidefinite and shift > 0:
        smallest = 0.0
    if method == "exact" or (method == "auto" and fits(operator, max_bytes)):
        return _exact(operator, shift, f.value, smallest, max_bytes)
    search = part_of(progress, after=probes * steps)
    pairs = pairs_to_deflate(operator, deflate, seeds, max_bytes, search)
    deflated = Deflated.of(operator, pairs)
    if isinstance(deflate, int):
        progress = part_of(progress, before=deflated.num_matvecs)
    made = Quadratures(
        operator, deflated, shift, probes, steps, smallest, seeds, max_bytes, progress
    )
    return made.total(f)


def _exact(
    operator: SymmetricOperator,
    shift: float,
    f: Callable[[FloatArray], FloatArray],
    smallest: float | None,
    max_bytes: int,
) -> SpectralSum:
    """Sum over all eigenvalues, each known up to the resolution."""
    found = exact_spectrum(operator, max_bytes)
    # the computed eigenvalues; the others are exactly zero
    beside = found.dim - found.num_matvecs
    nonzero = found.known[found.known != 0]
    values = np.concatenate([nonzero, np.zeros(found.num_matvecs - nonzero.size)])
    lowest, error = float(values.min()), found.resolution
    if smallest is not None:
        require_bound(smallest, lowest, error, "an eigenvalue")
        values = np.maximum(values, smallest)
    least = min(float(values.min()), 0.0 if beside else math.inf)
    if least + shift <= 0:
        raise indefinite_error(operator, least, shift, "an eigenvalue", least > -error, found)
    floor = max(smallest if smallest is not None else -math.inf, -shift)
    ends = [np.maximum(values - error, floor), values, values + error]
    zeros = beside * float(f(np.array([shift]))[0]) if beside else 0.0
    with np.errstate(divide="ignore"):
        lower, value, upper = (float(f(x + shift).sum()) + zeros for x in ends)
    return SpectralSum(
        value=value,
        lower=lower,
        upper=upper,
        stderr=0.0,
        num_matvecs=values.size,
        steps=0,
        brackets=np.array([[lower, upper]]),
        smallest=lowest - error if smallest is None else smallest,
        method="exact",
    )
