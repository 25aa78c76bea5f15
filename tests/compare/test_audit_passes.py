"""An audit measures once: passes over the data, and matrices that are made."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from torch import nn

import hessium as hs
from hessium import compare
from hessium.curvature.base import RiskOperator
from support.counted_data import counted_risk


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many dense matrices of each kind are made."""
    seen: Counter[str] = Counter()
    for kind in (RiskOperator, hs.Gram):
        original = kind.dense_beside

        def counted(self, vectors, *, max_bytes=2**33, original=original):  # type: ignore[no-untyped-def]
            seen[type(self).__name__] += 1
            return original(self, vectors, max_bytes=max_bytes)

        monkeypatch.setattr(kind, "dense_beside", counted)
    return seen


@pytest.mark.parametrize(
    "loss", [pytest.param(nn.CrossEntropyLoss(), marks=pytest.mark.slow), hs.SquaredError()]
)
def test_a_whole_audit_takes_twelve_passes_and_one_dense_matrix_of_each_kind(
    loss: nn.Module, made: Counter[str]
) -> None:
    risk, data = counted_risk(30, loss)
    before = data.passes
    hs.audit(risk)
    assert data.passes - before <= 12
    assert made == {"GaussNewton": 1, "ResidualHessian": 1}


@pytest.mark.slow
def test_comparisons_of_a_risk_are_those_of_its_matrices(made: Counter[str]) -> None:
    risk, data = counted_risk(30, nn.CrossEntropyLoss())
    curvature = compare.Curvature(risk)
    few: Any = {"alpha": 0.2, "draws": 2, "rotations": 4, "rng": 0}
    of_matrices = (
        str(compare.assumptions(curvature, **few)),
        repr(compare.symmetries(curvature)),
        repr(compare.ranks(curvature)),
        repr(compare.levels(curvature)),
    )
    assert made["GaussNewton"] == 1
    before = data.passes
    of_risk = (
        str(compare.assumptions(risk, **few)),
        repr(compare.symmetries(risk)),
        repr(compare.ranks(risk)),
        repr(compare.levels(hs.Hessian(risk))),
    )
    assert of_matrices == of_risk
    assert made["GaussNewton"] == 4
    assert data.passes - before > 12  # the same one by one


def test_the_sum_of_the_parts_is_the_hessian() -> None:
    risk, _ = counted_risk(30, nn.CrossEntropyLoss())
    curvature = compare.Curvature(risk)
    torch.testing.assert_close(curvature.hessian.matrix, hs.Hessian(risk).dense())
    torch.testing.assert_close(curvature.gauss_newton.matrix, hs.GaussNewton(risk).dense())
    exact = hs.spectrum(hs.Hessian(risk))
    assert curvature.hessian.spectrum.nodes == pytest.approx(exact.nodes, abs=1e-12)
