r"""Ranks of the Hessian of deep linear networks (Singh, Bachmann and Hofmann, NeurIPS 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from hessium.errors import InputError
from hessium.theory import _check


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkRank:
    """Ranks of the three curvature matrices at a generic point.

    Attributes:
        gauss_newton: of H0, the outer-product part.
        residual: of H1 = H - H0, the functional part.
        hessian: of H.
        parameters: their common size.

    Example:
        >>> rank = hs.theory.linear_network_rank([4, 2, 3])
        >>> rank.hessian <= rank.parameters
        True
    """

    gauss_newton: int
    residual: int
    hessian: int
    parameters: int


def linear_network_rank(
    widths: Sequence[int],
    num_samples_rank: int | None = None,
    *,
    loss: str = "squared-error",
    bias: bool = False,
) -> NetworkRank:
    r"""Ranks of H0, H1 and H for a deep linear network with generic weights and residuals.

    With input dimension d, output dimension K, hidden widths $M_1 \dots M_{L-1}$ and their sum M,
    r the rank of the data matrix, $q = \min(r, M_i, K)$ and $s$ the rank of the residual-input
    covariance, $\operatorname{rank} H_0 = q(r + K - q)$,
    $\operatorname{rank} H_1 = 2qM + 2qs - Lq^2$,
    $\operatorname{rank} H = 2qM - Lq^2 + q(r + K)$ (with $s = \min(r, K)$, generic residuals). For
    cross-entropy K - 1 replaces K, because softmax residuals sum to zero. Upper bounds for any
    weights; close for ReLU and tanh networks up to small eigenvalues.

    With biases in all layers and no bottleneck (every hidden width at least
    $q' = \min(r + 1, K)$): $\operatorname{rank} H_0 = q(r + K - q) + K$,
    $\operatorname{rank} H_1 = 2q'M - (L-2)q'(q'-1)$, $\operatorname{rank} H$ their sum less
    $q'(q'-1)$. These formulas come from dense computations and are not proved.

    Args:
        widths: d, hidden widths, K: at least one hidden layer.
        num_samples_rank: r, the rank of the data (of the covariance of the inputs); at most d, and
            d if not given. With biases, of the centred data.
        loss: "squared-error" or "cross-entropy".
        bias: whether all layers have biases.

    Raises:
        InputError: if an argument breaks its rule, or the case with biases has a bottleneck or
            cross-entropy, for which no formula is known.

    Example:
        >>> hs.theory.linear_network_rank([4, 2, 3]).gauss_newton
        10
    """
    sizes = [_check.count("widths", width) for width in _check.sequence("widths", widths)]
    if len(sizes) < 3:
        msg = (
            f"widths: {len(sizes)} sizes; input, at least one hidden layer and output are required"
        )
        raise InputError(msg)
    d, *hidden, outputs = sizes
    r = d if num_samples_rank is None else _check.count("num_samples_rank", num_samples_rank)
    if r > d:
        msg = f"num_samples_rank: {r}; at most the input dimension {d} is required"
        raise InputError(msg)
    if loss not in ("squared-error", "cross-entropy"):
        msg = f'loss: {loss!r}; "squared-error" or "cross-entropy" is required'
        raise InputError(msg)
    parameters = sum(a * b for a, b in pairwise(sizes))
    if bias:
        return _with_biases(sizes, r, loss, parameters + sum(sizes[1:]))
    k = outputs - 1 if loss == "cross-entropy" else outputs
    depth, total = len(sizes) - 1, sum(hidden)
    q, s = min(r, k, *hidden), min(r, k)
    first = q * (r + k - q)
    second = 2 * q * total + 2 * q * s - depth * q * q
    return NetworkRank(
        gauss_newton=first,
        residual=second,
        hessian=first + second + q * (q - 2 * s),
        parameters=parameters,
    )


def _with_biases(sizes: list[int], r: int, loss: str, parameters: int) -> NetworkRank:
    *hidden, k = sizes[1:]
    q, wide = min(r, k, *hidden), min(r + 1, k)
    if loss != "squared-error":
        msg = f"loss: {loss!r} with biases; no formula is known, measure the rank instead"
        raise InputError(msg)
    if min(hidden) < wide:
        msg = (
            f"widths: {sizes} with biases has a hidden layer below {wide}; "
            "no formula is known for bottlenecks, measure the rank instead"
        )
        raise InputError(msg)
    depth, total = len(sizes) - 1, sum(hidden)
    first = q * (r + k - q) + k
    second = 2 * wide * total - (depth - 2) * wide * (wide - 1)
    return NetworkRank(
        gauss_newton=first,
        residual=second,
        hessian=first + second - wide * (wide - 1),
        parameters=parameters,
    )
