"""A few products that would show a wrong route before anybody believes an eigenvalue."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from hessium.errors import SelfCheckError
from hessium.linalg.operator import SymmetricOperator
from hessium.problem import EmpiricalRisk

Reference = Callable[[Tensor], "tuple[Tensor, float] | None"]


def tolerance(dtype: torch.dtype) -> float:
    """Largest relative difference that rounding explains: the square root of the unit roundoff."""
    return float(torch.finfo(dtype).eps ** 0.5)


def probe_vectors(operator: SymmetricOperator, count: int) -> Tensor:
    """Fixed random unit vectors (n, count), the same on every device."""
    generator = torch.Generator().manual_seed(20170706)
    vectors = torch.randn(
        operator.shape[0], count, generator=generator, dtype=torch.float64, device="cpu"
    )
    vectors /= vectors.norm(dim=0)
    return vectors.to(operator.device, operator.dtype)


def self_check(operator: SymmetricOperator, risk: EmpiricalRisk, reference: Reference) -> None:
    """Try an operator on two vectors.

    Raises:
        NonFiniteError: if the gradient or a product is not finite.
        SelfCheckError: naming the check that failed, with the size of the disagreement.
    """
    before = _state(risk)
    risk.gradient()
    vectors = probe_vectors(operator, 2)
    v, w = vectors.unbind(1)
    first, second = operator @ v, operator @ w
    scale = float(first.norm() + second.norm())
    found = reference(v)
    if found is not None:
        expected, size = found
        scale = max(scale, size)
        _compare(operator, "agree with double backward", first, expected, scale)
    _compare(operator, "give the same product twice", first, operator @ v, scale)
    block = operator @ vectors
    _compare(operator, "multiply two vectors at once", block[:, 0], first, scale)
    _compare(operator, "multiply two vectors at once", block[:, 1], second, scale)
    _compare(operator, "be symmetric", w @ first, v @ second, scale)
    if _state(risk) != before:
        msg = (
            f"{operator!r}: a product changed the model (a parameter, buffer, gradient or mode); "
            "its forward pass writes to something that is not a registered buffer"
        )
        raise SelfCheckError(msg)


def _compare(
    operator: SymmetricOperator, what: str, one: Tensor, other: Tensor, scale: float
) -> None:
    error = float((one - other).norm())
    allowed = tolerance(operator.dtype) * scale
    if error > allowed:
        msg = (
            f"{operator!r}: does not {what} (difference {error:.3g}, rounding {allowed:.3g}); "
            "the model may be random, stateful, or use an operation whose derivative is wrong in "
            "this version of torch"
        )
        raise SelfCheckError(msg)


def _state(risk: EmpiricalRisk) -> list[object]:
    """What must not change: versions count in-place writes."""
    tensors = [*risk.model.parameters(), *risk.model.buffers()]
    return [
        *((id(t), t._version, t.requires_grad, id(t.grad)) for t in tensors),
        *(m.training for m in risk.model.modules()),
        *((n, b._version) for n, b in risk._buffers.items()),
    ]
