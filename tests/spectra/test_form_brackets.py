"""Brackets of b' f(A + sI) b against dense functions of matrices."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import hessium as hs
from hessium._typing import FloatArray
from hessium.errors import ConvergenceWarning, InputError
from hessium.spectra.form_brackets import form_bracket
from support.risk_cases import draw, mlp

Function = Callable[[FloatArray], FloatArray]

# derivatives from the second on: +-+-... or -+-+...
FUNCTIONS: dict[str, Function] = {
    "inverse": lambda x: 1 / x,
    "inverse square": lambda x: x**-2.0,
    "root": np.sqrt,
    "power": lambda x: x**1.5,
    "logarithm": np.log,
    "entropy": lambda x: x * np.log(x),
    "exponential": lambda x: np.exp(-3 * x),
    "filter": lambda x: x / (x + 0.1),
    "line": lambda x: 2 * x - 1,
}


def spread(low: float, high: float, n: int = 40) -> tuple[torch.Tensor, FloatArray, FloatArray]:
    """A symmetric matrix with eigenvalues spread in the logarithm above `low`; its eigensystem."""
    q = torch.linalg.qr(draw(n, n)).Q
    values = low + torch.logspace(-3, 0, n, dtype=torch.float64) * (high - low)
    dense = q @ torch.diag(values) @ q.mT
    return (dense + dense.mT) / 2, values.numpy(), q.numpy()


def solved(
    matrix: torch.Tensor,
    b: torch.Tensor,
    steps: int,
    *,
    shift: float = 0.0,
    smallest: float | None = None,
) -> hs.Solution:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return hs.solve(matrix, b, shift, max_products=steps, tol=1e-14, smallest=smallest)


def truth(f: Function, values: FloatArray, vectors: FloatArray, b: torch.Tensor) -> float:
    return float((vectors.T @ b.numpy()) ** 2 @ f(values))


@pytest.mark.parametrize("shift", [0.0, 0.3])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_brackets_hold_and_close(name: str, shift: float) -> None:
    f = FUNCTIONS[name]
    A, values, vectors = spread(1e-3, 1.0)
    b = draw(40, seed=5)
    exact = truth(f, values + shift, vectors, b)
    widths = []
    for steps in (1, 2, 3, 5, 9, 15, 25, 40):
        form = solved(A, b, steps, shift=shift, smallest=5e-4).quadratic_form(f)
        assert form.lower <= exact <= form.upper, steps
        assert form.lower <= form.value <= form.upper
        widths.append((form.upper - form.lower) / abs(exact))
    assert widths[-1] < 1e-8
    if name != "line":  # exact with one step
        assert widths[0] > 1e-3
        assert all(after < before for before, after in itertools.pairwise(widths) if after > 1e-12)


def test_a_bound_that_is_wrong_gives_a_bracket_that_is_wrong() -> None:
    """The control: for a bound above the smallest eigenvalues the bracket misses."""
    A, values, vectors = spread(1e-3, 1.0)
    b = draw(40, seed=5)
    rule = solved(A, b, 5, smallest=1e-3).rules[0]
    form = form_bracket(np.log, rule, float(rule.gauss()[0][0]), 0.0)
    assert form.lower > truth(np.log, values, vectors, b)


def test_forms_of_a_network_and_of_columns() -> None:
    risk = hs.EmpiricalRisk(mlp(3, 6, 2), hs.SquaredError(), (draw(9, 3), draw(9, 2, seed=3)))
    H0 = hs.GaussNewton(risk)
    b = torch.stack([risk.gradient(), draw(risk.dim, seed=4)], dim=1)
    found = hs.solve(H0, b, shift=1e-2)
    eye = torch.eye(risk.dim, dtype=torch.float64)
    values, vectors = np.linalg.eigh((H0.dense() + 1e-2 * eye).numpy())
    for column in range(2):
        form = found.quadratic_form(np.log, column=column)
        exact = truth(np.log, values, vectors, b[:, column].contiguous())
        assert form.lower <= exact <= form.upper
        assert form.upper - form.lower < 1e-6 * abs(exact)
    inverse = found.quadratic_form(np.reciprocal)
    assert (inverse.lower, inverse.upper) == (found.form_lower, found.form_upper)


def test_a_spectrum_that_reaches_zero_or_below() -> None:
    A, values, vectors = spread(0.0, 1.0)
    b = draw(40, seed=5)
    flat = A - A @ torch.from_numpy(np.outer(vectors[:, 0], vectors[:, 0]))  # eigenvalue zero
    with_zero = np.append(0.0, values[1:])
    form = solved((flat + flat.mT) / 2, b, 12, smallest=0.0).quadratic_form(np.sqrt)
    assert form.lower <= truth(np.sqrt, with_zero, vectors, b) <= form.upper
    assert form.upper - form.lower < 0.01 * form.value
    below = A - 0.5 * torch.eye(40, dtype=torch.float64)
    form = solved(below, b, 12, smallest=-0.5).quadratic_form(lambda x: np.exp(-x))
    assert form.lower <= truth(lambda x: np.exp(-x), values - 0.5, vectors, b) <= form.upper
    assert form.upper - form.lower < 1e-8 * form.value


def test_without_a_lower_bound_the_bracket_is_infinite_or_the_rule_is_exact() -> None:
    A, values, vectors = spread(1e-3, 1.0)
    b = draw(40, seed=5)
    form = solved(A, b, 8).quadratic_form(np.exp)
    assert (form.lower, form.upper) == (-np.inf, np.inf)
    assert form.value == pytest.approx(truth(np.exp, values, vectors, b), rel=1e-6)
    few = torch.diag(torch.tensor([0.5, -1.0, 2.0, 3.0], dtype=torch.float64))
    b = torch.tensor([1.0, 2.0, 1.0, 0.0], dtype=torch.float64)
    form = solved(few, b, 4).quadratic_form(np.sin)  # an invariant space of three dimensions
    exact = np.sin(0.5) + 4 * np.sin(-1.0) + np.sin(2.0)
    assert form.lower <= exact <= form.upper
    assert form.upper - form.lower < 1e-12
    nothing = hs.solve(A, 0 * draw(40)).quadratic_form(np.log)
    assert (nothing.lower, nothing.value, nothing.upper) == (0, 0, 0)


@pytest.mark.parametrize("f", [np.exp, np.sin, lambda x: x**3, np.tanh, np.abs, np.ceil])
def test_functions_without_alternating_derivatives_are_refused(f: Function) -> None:
    A, _, _ = spread(1e-3, 3.0)
    with pytest.raises(InputError, match="alternate"):
        solved(A - 0.5 * torch.eye(40, dtype=torch.float64), draw(40), 6, smallest=-0.5)\
            .quadratic_form(f)  # fmt: skip


def test_bad_input() -> None:
    A, _, _ = spread(1e-3, 1.0)
    found = hs.solve(A, draw(40), smallest=1e-3)
    with pytest.raises(InputError, match="column"):
        found.quadratic_form(np.log, column=1)
    with pytest.raises(InputError, match="f: "):
        found.quadratic_form(lambda x: x.sum())
    with pytest.raises(InputError, match="NaN"):
        hs.solve(A - 0.5 * torch.eye(40, dtype=torch.float64), draw(40)).quadratic_form(np.sqrt)
    with pytest.raises(InputError, match="f: "):
        found.quadratic_form("log")  # type: ignore[arg-type]


def test_a_stored_solution_still_answers(tmp_path: Path) -> None:
    A, _, _ = spread(1e-3, 1.0)
    found = hs.solve(A, draw(40), smallest=1e-3)
    hs.save(found, tmp_path / "solution")
    again = hs.load(tmp_path / "solution")
    assert repr(again.quadratic_form(np.log)) == repr(found.quadratic_form(np.log))
