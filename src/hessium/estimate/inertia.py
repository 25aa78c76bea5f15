"""Rank and inertia: exact if a dense matrix fits into memory, with brackets otherwise."""

from __future__ import annotations

from typing import Literal

import numpy as np
from torch import Tensor

from hessium._arguments import count, fraction, function, memory
from hessium._arithmetic import full_precision
from hessium._random import Rng, generator
from hessium.errors import InputError
from hessium.estimate.deflation import Deflation
from hessium.estimate.eigenpairs import eigenpairs
from hessium.estimate.exact import exact_inertia, fits
from hessium.estimate.slq import check_request, spectral_measure
from hessium.linalg.adapt import Operator, as_operator
from hessium.linalg.operator import SymmetricOperator
from hessium.progress import Progress, part_of, silent
from hessium.spectra import Count, Inertia
from hessium.spectra.inertia import check_tol

Method = Literal["auto", "exact", "quadrature"]


def rank(
    op: Operator | SymmetricOperator | Tensor,
    tol: float = 1e-6,
    *,
    method: Method = "auto",
    max_bytes: int = 2**33,
    probes: int = 10,
    steps: int = 80,
    confidence: float = 0.999,
    rng: Rng = 0,
    progress: Progress = silent,
) -> Count:
    r"""Number of eigenvalues with $|\lambda| > \mathrm{tol} \cdot \max|\lambda|$.

    Args, errors and cost as in `inertia`.

    Example:
        >>> hs.rank(torch.diag(torch.tensor([2.0, 1.0, 0.0], dtype=torch.float64)))
        rank 2 at |eigenvalue| > 1e-06 x 2
    """
    return inertia(
        op, tol, method=method, max_bytes=max_bytes, probes=probes, steps=steps,
        confidence=confidence, rng=rng, progress=progress,
    ).rank  # fmt: skip


@full_precision()
def inertia(
    op: Operator | SymmetricOperator | Tensor,
    tol: float = 1e-6,
    *,
    method: Method = "auto",
    max_bytes: int = 2**33,
    probes: int = 10,
    steps: int = 80,
    deflate: int = 10,
    confidence: float = 0.999,
    rng: Rng = 0,
    progress: Progress = silent,
) -> Inertia:
    r"""Numbers of negative, zero and positive eigenvalues, zero meaning $|\lambda| \le t$.

    The threshold $t = \mathrm{tol} \cdot \max|\lambda|$ is the convention of the rank experiment
    (ADCME.jl: positive above $10^{-6}\lambda_{\max}$, negative below its negative).

    Exact, if the matrix or its smaller companion fits into memory. Large matrices are counted by
    Sylvester's law from LDL^T factorisations of $A \pm tI$, which needs only the largest
    eigenvalue. Rounding moves eigenvalues by about $4\sqrt n\,u\max|\lambda|$ (u: machine epsilon
    of the operator's dtype, errors taken as independent); if one lies within that distance of $\pm
    t$ the counts become brackets.

    By quadrature otherwise: the eigenvalues largest in magnitude are computed and deflated, the
    others counted by stochastic Lanczos quadrature. The brackets include the algorithmic error of
    the steps and the Monte Carlo error of the probes (`Spectrum.count`). They are wide where many
    eigenvalues lie near the threshold, as in a null space at a small tol.

    Args:
        op: an operator, or a symmetric tensor.
        tol: relative threshold, 0 <= tol < 1.
        method: "exact", "quadrature", or "auto": exact if it fits.
        max_bytes: memory limit for a dense matrix, or a basis, and its work space (8 GiB).
        probes: random vectors of the quadrature.
        steps: Lanczos steps for each probe.
        deflate: number of eigenpairs to deflate before the quadrature.
        confidence: probability that all brackets of the quadrature hold.
        rng: seed or generator of the quadrature.
        progress: of the quadrature: called with products done and products in all.

    Raises:
        InputError: for a bad argument, or if `max_bytes` is too small.

    Cost: exact, the products of `dense`, and $2n^3/3$ multiply-adds; twice that, or all
    eigenvalues, where one lies near the threshold. Quadrature: probes x steps products and those of
    `eigenpairs`.

    Example:
        >>> hs.inertia(torch.diag(torch.tensor([2.0, 0.0, -1.0], dtype=torch.float64)))
        Inertia(1 negative, 1 zero, 1 positive at |eigenvalue| > 1e-06 x 2)
    """
    tol = check_tol(tol)
    max_bytes = memory("max_bytes", max_bytes)
    count("probes", probes)
    count("steps", steps)
    count("deflate", deflate)
    fraction("confidence", confidence)
    generator(rng)
    function("progress", progress, "(done, total, what) ")
    operator = as_operator(op)
    if method not in ("auto", "exact", "quadrature"):
        msg = f"method: {method!r}; 'auto', 'exact' or 'quadrature' is required"
        raise InputError(msg)
    if method == "exact" or (method == "auto" and fits(operator, max_bytes)):
        return exact_inertia(operator, tol, max_bytes=max_bytes)
    seeds = generator(rng)
    n = operator.shape[0]
    check_request(operator, probes, steps, deflate, max_bytes)
    known = min(deflate, n)
    ahead = part_of(progress, after=probes * steps)
    largest = eigenpairs(operator, known, max_bytes=max_bytes, rng=seeds, progress=ahead)
    rest = part_of(progress, before=largest.num_matvecs)
    proved = Deflation(operator, largest, proved=True)
    measure = spectral_measure(
        operator, probes, steps, deflate=proved, max_bytes=max_bytes, rng=seeds, progress=rest
    )
    scale = float(np.abs(largest.values[0]))
    # the threshold is as uncertain as the largest eigenvalue
    return measure.inertia_at(tol, scale, tol * float(largest.residuals[0]), confidence)
