"""Wrappers that turn tensors and objects with `@` into symmetric operators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from hessium._typing import AnyArray
from hessium.errors import InputError
from hessium.linalg.operator import DenseOperator, SymmetricOperator


@runtime_checkable
class Operator(Protocol):
    """Anything with a square shape, a dtype, a device and `@`: a symmetric tensor is one."""

    @property
    def shape(self) -> Sequence[int]:
        """(n, n)."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """Of input and output vectors."""
        ...

    @property
    def device(self) -> torch.device:
        """Of input and output vectors."""
        ...

    def __matmul__(self, other: Any, /) -> Any:
        """Product with a vector (n,) or a block (n, k)."""
        ...


class WrappedOperator(SymmetricOperator):
    """An operator defined by any object with shape, dtype, device and `@`.

    Raises:
        InputError: if two random vectors show that it is not square, symmetric, deterministic and
            linear, to the square root of machine epsilon. Cost: four products.
    """

    def __init__(self, operator: Operator) -> None:
        shape = tuple(operator.shape)
        if len(shape) != 2 or shape[0] != shape[1] or not shape[0]:
            msg = f"operator: shape {shape}; a square operator (n, n) is required"
            raise InputError(msg)
        if operator.dtype not in (torch.float32, torch.float64):
            msg = f"operator: {operator.dtype}; float32 or float64 is required"
            raise InputError(msg)
        self._operator = operator
        generator = torch.Generator().manual_seed(0)
        pair = torch.randn(shape[0], 2, generator=generator, dtype=operator.dtype, device="cpu")
        left, right = pair.to(operator.device).unbind(1)
        pushed, image = self @ left, self @ right
        size = float(pushed.norm() + image.norm())
        forth, back = left @ image, right @ pushed
        if _differ(forth, back, size * float(left.norm())):
            msg = (
                f"operator: x'Ay = {float(forth):.6g}, y'Ax = {float(back):.6g}; they must be equal"
            )
            raise InputError(msg)
        if _differ(self @ right, image, size):
            msg = (
                "operator: two evaluations of the same product differ; it must be "
                "deterministic (fix its seeds, or put a model in evaluation mode)"
            )
            raise InputError(msg)
        mixed = self @ (0.7 * left - 1.3 * right)
        if _differ(mixed, 0.7 * pushed - 1.3 * image, size):
            msg = (
                "operator: A(ax + by) differs from aAx + bAy beyond the rounding of "
                f"{operator.dtype}; it must be linear (its dtype must be the precision in which it "
                "computes)"
            )
            raise InputError(msg)

    @property
    def shape(self) -> tuple[int, int]:
        """(n, n)."""
        return (self._operator.shape[0], self._operator.shape[1])

    @property
    def dtype(self) -> torch.dtype:
        """Of the object."""
        return self._operator.dtype

    @property
    def device(self) -> torch.device:
        """Of the object."""
        return self._operator.device

    def _matmat(self, block: Tensor) -> Tensor:
        return torch.stack([self._product(column) for column in block.unbind(1)], dim=1)

    def _product(self, vector: Tensor) -> Tensor:
        product = self._operator @ vector
        wanted = (vector.shape, vector.dtype, vector.device, torch.strided)
        if not isinstance(product, Tensor) or wanted != (
            product.shape, product.dtype, product.device, product.layout
        ):  # fmt: skip
            found = type(product).__name__
            if isinstance(product, Tensor):
                found = f"{product.dtype} {tuple(product.shape)} on {product.device}"
            msg = (
                f"operator: its product is {found}; a dense tensor {vector.dtype} "
                f"{tuple(vector.shape)} on {vector.device}, as the vector, is required"
            )
            raise InputError(msg)
        return product


def _tensor(array: AnyArray) -> Tensor:
    if array.dtype.kind not in "fiu":
        msg = f"matrix: an array of {array.dtype}; float32 or float64 is required"
        raise InputError(msg)
    native = np.require(array, array.dtype.newbyteorder("="), ["C", "W"])
    try:
        return torch.as_tensor(native, device="cpu")
    except TypeError as error:
        msg = f"matrix: an array of {array.dtype}; float32 or float64 is required"
        raise InputError(msg) from error


def _differ(one: Tensor, other: Tensor, size: float) -> bool:
    """Whether two vectors differ by more than the rounding of their dtype."""
    return float((one - other).norm()) > torch.finfo(one.dtype).eps ** 0.5 * size


def as_operator(
    operator: Operator | SymmetricOperator | Tensor | AnyArray,
) -> SymmetricOperator:
    """A symmetric operator from an operator, a symmetric tensor or array, or an object with `@`.

    Raises:
        InputError: if it is neither, or not symmetric.
    """
    if isinstance(operator, SymmetricOperator):
        return operator
    if isinstance(operator, np.ndarray):
        operator = _tensor(operator)
    if isinstance(operator, Tensor):
        return DenseOperator(operator)
    if isinstance(operator, Operator) and not isinstance(operator, type):
        return WrappedOperator(operator)
    msg = (
        f"operator: {type(operator).__name__} has no shape, dtype, device and @; a symmetric "
        "tensor or an operator such as hessium.Hessian(risk) is required"
    )
    raise InputError(msg)
