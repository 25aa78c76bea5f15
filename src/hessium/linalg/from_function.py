"""Symmetric operators from functions of vectors, in torch, NumPy or another library."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from hessium._arguments import count, function
from hessium.errors import InputError
from hessium.linalg.adapt import WrappedOperator
from hessium.linalg.operator import SymmetricOperator

Arrays = Literal["torch", "numpy"]


def from_matvec(
    matvec: Callable[[Any], Any],
    n: int,
    *,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
    arrays: Arrays | None = None,
) -> SymmetricOperator:
    r"""The symmetric operator $v \mapsto A v$ of a function; every estimator takes it.

    Args:
        matvec: function of a vector (n,) that returns $A v$, shape (n,): a tensor, a NumPy array,
            or an array of another library that NumPy can read, such as JAX.
        n: number of rows and columns.
        dtype: torch.float32 or torch.float64, the precision in which the function computes.
        device: of the vectors. A function of NumPy arrays gets copies on the CPU.
        arrays: what the function takes, "torch" tensors or "numpy" arrays; None tries a tensor, and
            an array if that fails or gives no tensor.

    Raises:
        InputError: if the function returns another shape or dtype, fails with both kinds of
            vectors, or is not symmetric, deterministic and linear on two random vectors.

    Cost: four products, to check the function; one more where `arrays` is None and the function
    takes NumPy arrays.

    Example:
        >>> A = np.diag(np.arange(1.0, 21.0))
        >>> op = hs.from_matvec(lambda v: A @ v, 20)
        >>> hs.eigenpairs(op, 2, which="LA").values.round(6).tolist()
        [20.0, 19.0]
    """
    function("matvec", matvec, "(v) ")
    if arrays is not None and arrays not in get_args(Arrays):
        msg = f"arrays: {arrays!r}; 'torch', 'numpy' or None is required"
        raise InputError(msg)
    if dtype not in (torch.float32, torch.float64):
        msg = f"dtype: {dtype}; torch.float32 or torch.float64 is required"
        raise InputError(msg)
    return WrappedOperator(_Function(matvec, count("n", n), dtype, torch.device(device), arrays))


class _Function:
    """A function of vectors with a shape, a dtype, a device and `@`."""

    def __init__(
        self,
        matvec: Callable[[Any], Any],
        n: int,
        dtype: torch.dtype,
        device: torch.device,
        arrays: Arrays | None,
    ) -> None:
        self.shape, self.dtype, self.device = (n, n), dtype, device
        self._matvec = matvec
        self._arrays = arrays or self._found()

    def __matmul__(self, vector: Tensor) -> Tensor:
        if self._arrays == "torch":
            return self._checked(self._matvec(vector))
        # a copy, so that a function that writes to its argument changes nothing here
        product = np.asarray(self._matvec(vector.detach().cpu().numpy().copy()))
        if product.dtype.kind not in "fiu":
            msg = f"matvec: returned an array of {product.dtype}; real numbers are required"
            raise InputError(msg)
        return self._checked(torch.from_numpy(np.array(product))).to(self.device)

    def _found(self) -> Arrays:
        """Whether the function takes tensors or arrays."""
        vector = torch.ones(self.shape[0], dtype=self.dtype, device=self.device)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                taken = isinstance(self._matvec(vector), Tensor)
        except Exception as error:
            try:
                np.asarray(self._matvec(vector.cpu().numpy()))
            except Exception as other:
                msg = (
                    f"matvec: fails with a torch tensor ({_line(error)}) and with a NumPy array "
                    f"({_line(other)}) of shape ({self.shape[0]},)"
                )
                raise InputError(msg) from other
            return "numpy"
        return "torch" if taken else "numpy"

    def _checked(self, product: Any) -> Tensor:
        if not isinstance(product, Tensor) or tuple(product.shape) != self.shape[:1]:
            shape = tuple(getattr(product, "shape", ()))
            msg = (
                f"matvec: returned {type(product).__name__} of shape {shape}; a vector of shape "
                f"({self.shape[0]},) is required"
            )
            raise InputError(msg)
        if product.dtype is not self.dtype:
            msg = (
                f"matvec: returned {product.dtype} for a vector of {self.dtype}; let dtype= be the "
                "precision in which the function computes (JAX computes in float32 unless "
                "jax_enable_x64 is set)"
            )
            raise InputError(msg)
        return product


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"
