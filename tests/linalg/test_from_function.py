"""Operators from functions of vectors, against the matrix of the function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import torch

import hessium as hs
from hessium.errors import InputError
from support.risk_cases import draw

N = 12
A = (draw(N, N) + draw(N, N).T).double()
ARRAY = A.numpy()


class Foreign:
    """An array of another library: NumPy can read it."""

    def __init__(self, values: Any) -> None:
        self._values = values

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.asarray(self._values, dtype=dtype)


def _in_place(v: Any) -> Any:
    v[:] = ARRAY @ v
    return v


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "torch": lambda v: A @ v,
    "numpy": lambda v: ARRAY @ v,
    "a method of an array": ARRAY.dot,
    "sparse": scipy.sparse.csr_array(ARRAY).dot,
    "another library": lambda v: Foreign(ARRAY @ v),
    "writes to its argument": _in_place,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_products_and_estimates_are_those_of_the_matrix(name: str) -> None:
    op = hs.from_matvec(FUNCTIONS[name], N)
    block = draw(N, 3).double()
    kept = block.clone()
    torch.testing.assert_close(op @ block, A @ block, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(op @ block[:, 0], A @ block[:, 0], rtol=1e-13, atol=1e-13)
    assert torch.equal(block, kept)
    eigenvalues = np.linalg.eigvalsh(ARRAY)
    found = hs.eigenpairs(op, 2, which="LA")
    np.testing.assert_allclose(found.values, eigenvalues[:-3:-1], rtol=1e-9)
    nodes = hs.spectrum(op - 0.5 * A).nodes
    np.testing.assert_allclose(nodes, eigenvalues / 2, rtol=1e-9, atol=1e-12)


def test_products_are_counted() -> None:
    calls: list[type] = []

    def matvec(v: Any) -> Any:
        calls.append(type(v))
        return ARRAY @ v

    hs.from_matvec(matvec, N, arrays="numpy")
    assert calls == [np.ndarray] * 4
    calls.clear()
    hs.from_matvec(matvec, N)
    assert calls.count(np.ndarray) == 5
    assert calls.count(torch.Tensor) == 1  # which failed


@pytest.mark.parametrize(
    ("matvec", "options", "message"),
    [
        (ARRAY, {}, rf"matvec: ndarray of shape \({N}, {N}\); a function \(v\)"),
        (lambda v: v[:-1], {}, rf"matvec: returned Tensor of shape \({N - 1},\)"),
        (lambda v: ARRAY.astype(np.float32) @ np.float32(v), {"arrays": "numpy"}, "jax_enable_x64"),
        (lambda v: 1j * np.asarray(v), {}, "real numbers are required"),
        (lambda v: np.triu(ARRAY) @ v, {}, "they must be equal"),
        (lambda v: v**2, {}, "operator: "),
        (lambda v: v.nothing, {}, "fails with a torch tensor .* and with a NumPy array"),
        (lambda v: v, {"dtype": torch.int64}, "dtype: torch.int64"),
        (lambda v: v, {"arrays": "jax"}, "arrays: 'jax'"),
    ],
)
def test_bad_functions_are_refused(matvec: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        hs.from_matvec(matvec, N, **options)


def test_sizes_are_checked() -> None:
    with pytest.raises(InputError, match="n: "):
        hs.from_matvec(lambda v: v, 0)
