"""Counting below a shift against all eigenvalues."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hessium.linalg.ldl import ShiftedLDL
from support.risk_cases import draw


@given(n=st.integers(1, 40), seed=st.integers(0, 10**6), shift=st.floats(-3, 3))
def test_count_is_sylvesters(n: int, seed: int, shift: float) -> None:
    matrix = draw(n, n, seed=seed)
    matrix = (matrix + matrix.mT) / 2
    values = np.linalg.eigvalsh(matrix.numpy())
    if np.abs(values - shift).min() < 1e-9:
        return  # rounding decides
    factor = ShiftedLDL(matrix, shift)
    assert factor.count_below() == int((values < shift).sum())


def test_two_by_two_pivots_count_one_of_each_sign() -> None:
    swap = torch.zeros(6, 6, dtype=torch.float64)
    for i in (0, 2, 4):
        swap[i, i + 1] = swap[i + 1, i] = 1.0
    assert ShiftedLDL(swap, 0.0).count_below() == 3


@pytest.mark.parametrize("gap", [1e-3, 1e-6, 1e-9])
def test_nearest_finds_the_distance_to_the_spectrum(gap: float) -> None:
    generator = np.random.default_rng(3)
    Q, _ = np.linalg.qr(generator.standard_normal((60, 60)))
    values = np.concatenate([np.linspace(-2, -1, 30), [0.5 + gap], np.linspace(1, 2, 29)])
    matrix = torch.as_tensor((Q * values) @ Q.T)
    assert ShiftedLDL((matrix + matrix.mT) / 2, 0.5).nearest() == pytest.approx(gap, rel=1e-5)


def test_a_shift_on_an_eigenvalue_is_singular() -> None:
    factor = ShiftedLDL(torch.zeros(3, 3, dtype=torch.float64), 0.0)
    assert factor.singular
    assert factor.nearest() == 0.0
