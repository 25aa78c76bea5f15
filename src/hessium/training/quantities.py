"""Quantities of a record beside the extreme eigenvalues: traces, directions, batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hessium import estimate
from hessium._typing import FloatArray
from hessium.curvature.base import RiskOperator
from hessium.estimate import inertia
from hessium.estimate.estimates import student
from hessium.estimate.exact import fits
from hessium.estimate.probes import signs
from hessium.linalg.vectors import inner, norm
from hessium.problem import EmpiricalRisk
from hessium.spectra import Bracket, Inertia

_COLUMNS = 8  # probes of one block product
_STEPS = 40  # of the quadrature of an effective dimension
_MOST_BYTES = 2**28  # for the exact one
_TOP_RESIDUAL = 0.03  # of the eigenvectors of a top space, relative to their eigenvalues
_ENDS = ("value", "lower", "upper")


def mean_of(samples: FloatArray, confidence: float) -> Bracket:
    """Mean of independent samples with Student's interval; open ends for one sample."""
    value = float(samples.mean())
    if samples.size < 2:
        return Bracket(value=value, lower=-np.inf, upper=np.inf, confidence=confidence)
    stderr = float(samples.std(ddof=1)) / samples.size**0.5
    width = student(confidence, samples.size) * stderr
    return Bracket(value=value, lower=value - width, upper=value + width, confidence=confidence)


def modules_of(names: Sequence[str]) -> list[str]:
    """Names of the modules that own parameters, in order; a parameter of the model owns itself."""
    return list(dict.fromkeys(name.rpartition(".")[0] or name for name in names))


def traces(
    operator: RiskOperator, probes: int, rng: np.random.Generator, confidence: float
) -> tuple[Bracket, dict[str, Bracket]]:
    r"""Trace of an operator and of its diagonal blocks, by module (Hutchinson).

    With random signs $\omega$, $\omega_l^T (A \omega)_l$ is an unbiased estimate of the trace of
    block l. Cost: `probes` products.
    """
    layout = operator.risk.layout
    n = operator.shape[0]
    samples: dict[str, list[float]] = {name: [] for name in modules_of(layout.names)}
    for start in range(0, probes, _COLUMNS):
        count = min(_COLUMNS, probes - start)
        block = torch.from_numpy(np.stack([signs(rng, n) for _ in range(count)], axis=1))
        block = block.to(operator.device, operator.dtype)
        terms = (block * (operator @ block)).double()
        sums = {name: torch.zeros(count, dtype=torch.float64) for name in samples}
        for name in layout.names:
            sums[name.rpartition(".")[0] or name] += terms[layout.slice(name)].sum(dim=0).cpu()
        for name, found in sums.items():
            samples[name] += found.tolist()
    each = {name: np.array(found) for name, found in samples.items()}
    total = mean_of(np.sum(list(each.values()), axis=0), confidence)
    return total, {name: mean_of(found, confidence) for name, found in each.items()}


def along(operator: RiskOperator, directions: Mapping[str, Tensor]) -> dict[str, float | None]:
    r"""$d^T A d / |d|^2$ for some directions; None for a zero one. Cost: a product for each."""
    lengths = {name: float(norm(d)) for name, d in directions.items()}
    kept = {name: d / lengths[name] for name, d in directions.items() if lengths[name] > 0}
    found: dict[str, float | None] = dict.fromkeys(directions)
    if kept:
        block = torch.stack(list(kept.values()), dim=1)
        values = (block * (operator @ block)).sum(dim=0, dtype=torch.float64).tolist()
        found |= dict(zip(kept, values, strict=True))
    return found


def top_share(
    operator: RiskOperator,
    gradient: Tensor,
    top: int,
    start: Tensor | None,
    rng: np.random.Generator,
) -> tuple[float, Tensor, int]:
    r"""Share of $|g|^2$ in the space of the eigenvectors of the largest eigenvalues.

    $|X^T g|^2 / |g|^2$ with orthonormal X (Gur-Ari et al. 2018, arXiv:1812.04754).

    Args:
        operator: H.
        gradient: g (n,), not zero.
        top: number of eigenvectors, at most n of them.
        start: vectors (n, j) near them, such as those of the record before.
        rng: of the random part of the start.

    Returns:
        The share, the eigenvectors X (n, top), and the products spent.

    Cost: that of `hs.eigenpairs` to a relative residual of 0.03.
    """
    k = min(top, operator.shape[0])
    found = estimate.eigenpairs(operator, k, "LA", tol=_TOP_RESIDUAL, rng=rng, start=start)
    share = float(norm(inner(found.vectors.mT, gradient)) / norm(gradient)) ** 2
    return share, found.vectors, found.num_matvecs


def counts(
    operator: RiskOperator, rng: np.random.Generator
) -> tuple[dict[str, Bracket | Inertia], int]:
    r"""Inertia, rank and index of an operator at $10^{-6}$, and the products spent.

    Cost: that of `hs.inertia`: exact where a dense matrix fits into 8 GiB, by quadrature beyond.
    """
    spent = 0

    def count(done: int, total: int, what: str) -> None:
        nonlocal spent
        del total, what
        spent = max(spent, done)

    found = inertia(operator, rng=rng, progress=count)
    each: dict[str, Bracket | Inertia] = {"inertia": found}
    for name, one in (("rank", found.rank), ("index", found.negative)):
        ends = (float(end) for end in (one.value, one.lower, one.upper))
        each[name] = Bracket(**dict(zip(_ENDS, ends, strict=True)), confidence=one.confidence)
    return each, spent or operator.shape[0]


def effective_dimension(
    operator: RiskOperator,
    prior_precision: float,
    probes: int,
    rng: np.random.Generator,
    confidence: float,
) -> tuple[Bracket, int]:
    r"""$\mathrm{tr} A (A + \alpha I)^{-1}$ of a Gauss-Newton matrix, and the products spent.

    Exact to rounding where matrix or Gram matrix fit into 256 MiB with their work space, at the
    products of the smaller one; otherwise by `probes` x 40 products.
    """
    found = estimate.effective_dimension(
        operator,
        prior_precision,
        method="exact" if fits(operator, _MOST_BYTES) else "quadrature",
        probes=max(probes, 2),
        steps=min(_STEPS, max(operator.shape[0], 2)),
        rng=rng,
    )
    if found.steps == 0:
        lower, upper, sure = found.lower, found.upper, None
    else:
        (lower, upper), sure = found.interval(confidence), confidence
    bracket = Bracket(value=found.value, lower=lower, upper=upper, confidence=sure)
    return bracket, found.num_matvecs


@torch.enable_grad()
def batch_sharpness(risk: EmpiricalRisk, confidence: float) -> Bracket:
    r"""Mean over batches of $g_B^T H_B g_B / |g_B|^2$ (arXiv:2412.20553).

    $g_B$ and $H_B$ are those of the loss of the batch alone. The interval covers the choice of
    batches as if they were drawn independently. Cost: one product with H, and its graphs.
    """
    samples = list[float]()
    with risk.ranks.together("batch sharpness"):
        for inputs, targets in risk.own_batches():
            samples.append(_along_own_gradient(risk, inputs, targets))
    found = [one for each in risk.ranks.gathered(samples) for one in each]
    return mean_of(np.array(found), confidence)


def _along_own_gradient(risk: EmpiricalRisk, inputs: Any, targets: Any) -> float:
    """The Rayleigh quotient of one batch."""
    leaves = risk.leaves()
    with risk.bound(leaves):
        outputs = risk.outputs(leaves, inputs)
        value = risk.loss.total(outputs, targets) / risk.loss.count(outputs, targets)
        slopes = torch.autograd.grad(value, leaves, create_graph=True, materialize_grads=True)
        fixed = [slope.detach() for slope in slopes]
        size = sum(float(one.double().square().sum()) for one in fixed)
        pair = zip(slopes, fixed, strict=True)
        product = torch.stack([(s * f).sum() for s, f in pair]).sum()
        if size == 0 or not product.requires_grad:
            return 0.0
        images = torch.autograd.grad(product, leaves, materialize_grads=True)
    forms = (float((f * h).sum(dtype=torch.float64)) for f, h in zip(fixed, images, strict=True))
    return sum(forms) / size
