"""Solutions against dense linear algebra; bounds that hold and are not trivial."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch

import hessium as hs
from hessium.errors import ConvergenceWarning, IndefiniteError
from support.risk_cases import draw, mlp


def matrix(low: float, high: float, n: int = 40) -> torch.Tensor:
    """Eigenvalues spread in the logarithm, or linearly where they change sign."""
    q = torch.linalg.qr(draw(n, n)).Q
    if low > 0:
        values = torch.logspace(math.log10(low), math.log10(high), n, dtype=torch.float64)
    else:
        values = torch.linspace(low, high, n, dtype=torch.float64)
    dense = q @ torch.diag(values) @ q.mT
    return (dense + dense.mT) / 2


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_definite_systems_have_bounds_that_hold(shift: float) -> None:
    A, b = matrix(1e-3, 1.0), draw(40, seed=5)
    exact = torch.linalg.solve(A + shift * torch.eye(40, dtype=torch.float64), b)
    for steps in (5, 10, 20, 1000):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            found = hs.solve(A, b, shift, smallest=1e-3, max_products=steps, tol=1e-8)
        error = float((found.x - exact).norm())
        assert error <= found.error_bound
        assert found.form_lower <= float(b @ exact) <= found.form_upper
        assert found.method == "conjugate gradients"
    assert found.converged
    assert found.residual < 2e-8
    assert found.error_bound < 1e3 * 1e-8 * float(b.norm())
    residual = float((b - A @ found.x - shift * found.x).norm() / b.norm())
    assert found.residual == pytest.approx(residual, rel=1e-3, abs=1e-15)


def test_too_few_products_give_a_warning_and_the_state() -> None:
    with pytest.warns(ConvergenceWarning, match="max_products"):
        found = hs.solve(matrix(1e-3, 1.0), draw(40, seed=5), max_products=4)
    assert not found.converged
    assert found.num_matvecs == 5
    with pytest.warns(ConvergenceWarning, match="max_products"):
        assert hs.solve(matrix(1e-3, 1.0), draw(40, seed=5), max_products=1).num_matvecs == 2


def test_indefinite_systems_by_minres_without_a_bound() -> None:
    A, b = matrix(-1.0, 1.01), draw(40, seed=5)
    found = hs.solve(A, b, tol=1e-11)
    np.testing.assert_allclose(found.x, torch.linalg.solve(A, b), rtol=1e-6, atol=1e-8)
    assert found.method == "MINRES"
    assert found.error_bound == math.inf
    assert found.form_lower == -math.inf


def test_a_damped_newton_step_of_a_network() -> None:
    risk = hs.EmpiricalRisk(mlp(3, 6, 2), hs.SquaredError(), (draw(9, 3), draw(9, 2, seed=3)))
    H0, g = hs.GaussNewton(risk), risk.gradient()
    found = hs.solve(H0, g, shift=1e-2)
    eye = torch.eye(risk.dim, dtype=torch.float64)
    exact = torch.linalg.solve(H0.dense() + 1e-2 * eye, g)
    assert float((found.x - exact).norm()) <= found.error_bound + 1e-12 * float(exact.norm())
    assert found.converged
    block = hs.solve(H0, torch.stack([g, 2 * g], dim=1), shift=1e-2)
    torch.testing.assert_close(block.x[:, 1], 2 * found.x, rtol=1e-8, atol=1e-10)
    assert "conjugate gradients" in repr(found)


def test_bad_input_and_wrong_claims() -> None:
    A, b = matrix(1e-3, 1.0), draw(40, seed=5)
    with pytest.raises(ValueError, match="b: "):
        hs.solve(A, draw(3))
    with pytest.raises(ValueError, match="float32"):
        hs.solve(A, b.float())
    with pytest.raises(ValueError, match="NaN"):
        hs.solve(A, b * math.nan)
    with pytest.raises(IndefiniteError, match="smallest"):
        hs.solve(A, b, smallest=0.5)
    assert float(hs.solve(A, 0 * b).x.norm()) == 0


def test_rounding_of_single_precision_refutes_no_bound() -> None:
    wide = draw(60, 20).float()
    A = wide @ wide.mT * 100  # rank 20: Ritz values of zero eigenvalues are below zero by rounding
    with pytest.warns(ConvergenceWarning, match="compute in float64"):
        found = hs.solve(A, draw(60, seed=5).float(), 1e-2, smallest=0.0)
    assert found.method == "conjugate gradients"
    assert hs.solve(A, draw(60, seed=5).float(), 100.0, smallest=0.0).converged
