"""Lanczos runs keep their invariants, and their rules are Gauss and Gauss-Radau rules."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hessium.linalg.lanczos import lanczos_rules
from hessium.linalg.operator import DenseOperator
from support.chosen_spectra import MATRICES, with_eigenvalues
from support.risk_cases import draw


@pytest.mark.parametrize("spectrum", MATRICES)
def test_gauss_and_radau_rules_are_exact_for_polynomials(spectrum: str) -> None:
    A, starts = MATRICES[spectrum], draw(150, 2, seed=5)
    values, vectors = np.linalg.eigh(A.numpy())
    scale = float(np.abs(values).max())
    for column, run in enumerate(lanczos_rules(DenseOperator(A), starts, 5)):
        start = starts[:, column] / starts[:, column].norm()
        masses = (start.numpy() @ vectors) ** 2
        for (nodes, weights), degree in ((run.gauss(), 9), (run.radau(values[0] - 0.1), 10)):
            assert weights.sum() == pytest.approx(1)
            for power in range(degree + 1):
                expected = masses @ (values / scale) ** power
                assert weights @ (nodes / scale) ** power == pytest.approx(expected, abs=1e-12)
            if spectrum == "flat":  # few nodes are not exact for everything
                wrong = weights @ (nodes / scale) ** 13 - masses @ (values / scale) ** 13
                assert abs(wrong) > 1e-8
        assert run.radau(values[0] - 0.1)[0][0] == pytest.approx(values[0] - 0.1)


def test_runs_side_by_side_are_those_alone() -> None:
    A, starts = DenseOperator(MATRICES["slow"]), draw(150, 3, seed=5)
    together = lanczos_rules(A, starts, 20)
    for column, run in enumerate(together):
        (alone,) = lanczos_rules(A, starts[:, column : column + 1], 20)
        np.testing.assert_allclose(run.diagonal, alone.diagonal, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(run.offdiagonal, alone.offdiagonal, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_exhausted_space_ends_the_run_with_the_measure_itself(dtype: torch.dtype) -> None:
    values = np.repeat([0.0, 1.0, 5.0], [30, 20, 10])
    A = DenseOperator(with_eigenvalues(values).to(dtype))
    starts = draw(60, 2, seed=5).to(dtype)
    starts[:, 1] = A @ starts[:, 1]  # nothing of the null space: two eigenvalues are left
    products: list[int] = []
    runs = lanczos_rules(A, starts, 40, products.append)
    close = 100 * torch.finfo(dtype).eps
    for run, expected in zip(runs, ([0, 1, 5], [1, 5]), strict=True):
        assert run.complete
        np.testing.assert_allclose(run.gauss()[0], expected, atol=close)
        assert run.radau(-1.0)[0].size == len(expected)
    assert products == [2, 2, 1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ritz_values_stay_inside_the_spectrum(dtype: torch.dtype) -> None:
    """No ghosts: one large eigenvalue stays one, though the run goes on long after finding it."""
    values = np.concatenate([np.linspace(0, 1, 300), [100.0]])
    A = DenseOperator(with_eigenvalues(values).to(dtype))
    (run,) = lanczos_rules(A, draw(301, 1, seed=5).to(dtype), 200)
    nodes, _ = run.gauss()
    slack = 3000 * torch.finfo(dtype).eps
    assert nodes.min() > -slack
    assert (nodes > 1 + slack).sum() == 1
