"""A few products that would show a wrong route before anybody believes an eigenvalue."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from hessium.errors import InputError, SelfCheckError
from hessium.linalg.operator import SymmetricOperator
from hessium.problem import EmpiricalRisk

Reference = Callable[[Tensor], "tuple[Tensor, float] | None"]
# how torch says that an operation has a first derivative only
_ONCE = ("is not implemented", "differentiate twice", "not supported for double backward")


def tolerance(dtype: torch.dtype) -> float:
    """Largest relative difference that rounding explains: the square root of machine epsilon."""
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
        InputError: if torch cannot differentiate an operation of the model twice.
        NonFiniteError: if the gradient or a product is not finite.
        SelfCheckError: naming the check that failed, with the size of the disagreement.
    """
    before = _state(risk)
    _check_slope(operator, risk)
    vectors = probe_vectors(operator, 2)
    v, w = vectors.unbind(1)
    try:
        first, second = operator @ v, operator @ w
    except RuntimeError as error:
        reason = str(error).splitlines()[0] if str(error) else ""
        if not any(words in reason for words in _ONCE):
            raise
        msg = (
            f"model: torch cannot differentiate one of its operations twice ({reason}); write it "
            "with operations that it can, such as Embedding(...).mean(dim=1) for EmbeddingBag"
        )
        raise InputError(msg) from error
    scale = float(first.norm() + second.norm())
    found = reference(v)
    if found is not None:
        expected, size = found
        scale = max(scale, size)
        _compare(operator, "agrees with double backward", first, expected, scale)
    _compare(operator, "gives the same product twice", first, operator @ v, scale)
    block = operator @ vectors
    _compare(
        operator, "multiplies two vectors at once as one after the other", block[:, 0], first, scale
    )
    _compare(
        operator,
        "multiplies two vectors at once as one after the other",
        block[:, 1],
        second,
        scale,
    )
    _compare(operator, "is symmetric", w @ first, v @ second, scale)
    if _state(risk) != before:
        msg = (
            f"{operator!r}: a product changed the model (a parameter, buffer, gradient or mode); "
            "its forward pass writes to something that is not a registered buffer"
        )
        raise SelfCheckError(msg)


def _check_slope(operator: SymmetricOperator, risk: EmpiricalRisk) -> None:
    """The gradient is the slope of the loss: the one check that looks at values, not at graphs.

    A trained ReLU network may sit at a kink, where a loss has no slope: so a gradient is wrong only
    if it is wrong beside the place too.
    """
    found = _wrong_slope(risk)
    if found is None:
        return
    size = float(risk.theta.norm()) or 1.0
    for direction in probe_vectors(operator, 2).T:
        if _wrong_slope(risk.at(risk.theta + 1e-2 * size * direction)) is None:
            return
    slope, norm = found
    msg = (
        f"{operator!r}: along its gradient the loss rises by {slope:.6g}, but the gradient "
        f"says {norm:.6g}; the model may stop gradients (detach), checkpoint activations "
        "(switch that off), or have a wrong backward pass"
    )
    raise SelfCheckError(msg)


def _wrong_slope(risk: EmpiricalRisk) -> tuple[float, float] | None:
    """The slope of the loss along the gradient and the gradient's norm, where they disagree.

    Central differences along the gradient at two steps. Where these disagree, by rounding or a
    kink, nothing is concluded; where they agree with each other but not with the gradient, the loss
    may bend within the step, and smaller ones are tried until rounding would drown them. What
    remains is coarse, and enough for what it must find: a stop-gradient, a wrong backward pass, or
    recomputation at other parameters (checkpointing).
    """
    gradient = risk.gradient()
    norm = float(gradient.norm())
    if norm == 0:
        return None
    direction, theta = gradient / norm, risk.theta
    step = torch.finfo(risk.dtype).eps ** (1 / 3) * max(1.0, float(theta.norm()))

    def slope(h: float) -> float:
        up, down = risk.at(theta + h * direction).value(), risk.at(theta - h * direction).value()
        return (up - down) / (2 * h)

    rounding = 100 * torch.finfo(risk.dtype).eps * abs(risk.value())
    coarse = torch.finfo(risk.dtype).eps ** 0.25  # 1e-4 in float64, 2e-2 in float32
    before, found = slope(step), slope(step / 2)
    while abs(found - norm) > coarse * norm + 10 * abs(found - before) + rounding / step:
        step /= 4
        if rounding / step > norm / 10 or step < torch.finfo(risk.dtype).eps ** 0.5:
            return found, norm
        before, found = found, slope(step / 2)
    return None


def _compare(
    operator: SymmetricOperator, what: str, one: Tensor, other: Tensor, scale: float
) -> None:
    error = float((one - other).norm())
    allowed = tolerance(operator.dtype) * scale
    if error > allowed:
        msg = (
            f"{operator!r}: failed the check that it {what} (difference {error:.3g}, rounding "
            f"allows {allowed:.3g}); the model may be random or stateful, need float64 "
            "(dtype=torch.float64), or use an operation whose second derivative is wrong"
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
