"""Checks of products against each other: symmetry, repetition, blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hessium.curvature.differences import norm
from hessium.errors import SelfCheckError
from hessium.linalg.operator import SymmetricOperator

if TYPE_CHECKING:
    from hessium.curvature.base import RiskOperator


def tolerance(dtype: torch.dtype) -> float:
    """Relative tolerance for rounding: the square root of machine epsilon."""
    return float(torch.finfo(dtype).eps ** 0.5)


def same_products(one: Tensor, other: Tensor) -> bool:
    """Whether two products are equal to rounding."""
    return bool((one - other).norm() <= tolerance(one.dtype) * other.norm())


def probe_vectors(operator: SymmetricOperator, count: int) -> Tensor:
    """Fixed random unit vectors (n, count), the same on every device."""
    generator = torch.Generator().manual_seed(20170706)
    vectors = torch.randn(
        operator.shape[0], count, generator=generator, dtype=torch.float64, device="cpu"
    )
    vectors /= vectors.norm(dim=0)
    return vectors.to(operator.device, operator.dtype)


def check_products(operator: RiskOperator, v: Tensor, w: Tensor, product: Tensor) -> None:
    """Symmetry; block products, recorded programs and determinism where they may differ."""
    if not operator.multiplies_blocks:
        other = operator @ w
        scale = norm(product) + norm(other)
        _agree(operator, "products are not symmetric", w @ product, v @ other, scale)
        return
    block = operator @ torch.stack([v, w], dim=1)
    scale = norm(product) + norm(block[:, 1])
    if norm(block[:, 0] - product) > tolerance(operator.dtype) * scale:
        _agree(operator, "a repeated product differs", product, operator @ v, scale)
        _agree(operator, "block products differ from single products", block[:, 0], product, scale)
    _agree(operator, "products are not symmetric", w @ product, v @ block[:, 1], scale)


def _agree(
    operator: SymmetricOperator, what: str, one: Tensor, other: Tensor, scale: float
) -> None:
    error = norm(one - other)
    allowed = tolerance(operator.dtype) * scale
    if error > allowed:
        msg = (
            f"{operator!r}: self-check failed: {what} (difference {error:.3g}, rounding "
            f"allows {allowed:.3g}); the model may use an operation whose second derivative is "
            "wrong (hs.Hessian(risk, route='finite-difference') avoids it), be random or "
            "stateful, or need float64 (dtype=torch.float64)"
        )
        raise SelfCheckError(msg)
