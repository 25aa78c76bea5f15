"""Every operator on every case: dense matrix, products and blocks against the reference."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

import hessium as hs
from hessium.curvature.base import RiskOperator
from hessium.linalg import SymmetricOperator
from support.dense_reference import reference_of
from support.risk_cases import Case, build

RELATIVE = 1e-10


def assert_close(actual: Tensor, expected: Tensor, scale: Tensor | None = None) -> None:
    """Relative in norm; `scale` where the expected matrix is a small difference of large ones."""
    size = float((expected if scale is None else scale).norm())
    assert float((actual - expected).norm()) <= RELATIVE * size + 1e-300


def check_all_routes(operator: SymmetricOperator, expected: Tensor, scale: Tensor) -> None:
    assert_close(operator.dense(), expected, scale)
    n = operator.shape[0]
    generator = torch.Generator().manual_seed(3)
    block = torch.randn(n, 5, generator=generator, dtype=torch.float64)
    assert_close(operator @ block, expected @ block, scale @ block)
    assert_close(operator @ block[:, 0], expected @ block[:, 0], scale @ block)
    # the general dense route, which layer-wise assembly hides on most cases
    assert_close(SymmetricOperator.dense(operator), expected, scale)


@pytest.mark.sampled
def test_hessian(case: Case) -> None:
    expected = reference_of(case.name).hessian
    check_all_routes(hs.Hessian(build(case)), expected, expected)


@pytest.mark.sampled
def test_gauss_newton(output_case: Case) -> None:
    expected = reference_of(output_case.name).gauss_newton
    assert expected is not None
    check_all_routes(hs.GaussNewton(build(output_case)), expected, expected)


@pytest.mark.sampled
def test_residual(output_case: Case) -> None:
    found = reference_of(output_case.name)
    assert found.residual is not None
    check_all_routes(hs.ResidualHessian(build(output_case)), found.residual, found.hessian)


@pytest.mark.sampled
def test_fisher(output_case: Case) -> None:
    risk = build(output_case)
    fisher = reference_of(output_case.name).fisher
    assert fisher is not None
    # the reference's gradients carry one denominator each, the matrix one in all
    expected = fisher * risk.denominator
    check_all_routes(hs.EmpiricalFisher(risk), expected, expected)


@pytest.mark.sampled
def test_parts_add_up(every_third_case: Case) -> None:
    risk = build(every_third_case)
    total = hs.Hessian(risk).dense()
    parts = hs.GaussNewton(risk).dense() + hs.ResidualHessian(risk).dense()
    scale = hs.GaussNewton(risk).dense()
    assert float((parts - total).norm()) <= 1e-13 * float(scale.norm() + total.norm())


@pytest.mark.sampled
def test_gram_has_the_spectrum_of_gauss_newton(output_case: Case) -> None:
    risk = build(output_case)
    if not output_case.convex:
        with pytest.raises(ValueError, match="output Hessian has eigenvalue -"):
            hs.Gram(risk)
        return
    gram = hs.Gram(risk)
    matrix = gram.dense()
    expected = reference_of(output_case.name).gauss_newton
    assert expected is not None
    small, large = np.linalg.eigvalsh(matrix), np.linalg.eigvalsh(expected)
    common = min(small.size, large.size)
    scale = large[-1] + 1e-300
    np.testing.assert_allclose(small[-common:], large[-common:], rtol=0, atol=1e-12 * scale)
    for rest in (small[:-common], large[:-common]):
        np.testing.assert_allclose(rest, 0, rtol=0, atol=1e-12 * scale)
    generator = torch.Generator().manual_seed(3)
    block = torch.randn(gram.shape[0], 3, generator=generator, dtype=torch.float64)
    assert_close(gram @ block, matrix @ block, matrix @ block)


@pytest.mark.sampled
def test_gram_from_rows_in_any_budget(output_case: Case) -> None:
    if not output_case.convex:
        return
    risk = build(output_case)
    gram = hs.Gram(risk)
    matrix = gram.dense()
    row = 4 * risk.dim * 8
    for height in (gram.shape[0] // 7 + 1, 10**6):
        assert_close(gram._from_rows(matrix.nbytes + height * row), matrix, matrix)


def test_value_and_gradient(case: Case) -> None:
    risk, expected = build(case), reference_of(case.name)
    assert risk.value() == pytest.approx(expected.value, rel=1e-13)
    assert_close(risk.gradient(), expected.gradient)


@pytest.mark.sampled
@pytest.mark.parametrize("kind", [hs.Hessian, hs.GaussNewton, hs.ResidualHessian])
def test_streaming_equals_keeping(kind: type[RiskOperator], every_third_case: Case) -> None:
    risk = build(every_third_case)
    kept, streamed = kind(risk), kind(risk, graph_bytes=0)
    vector = torch.linspace(-1, 1, risk.dim, dtype=torch.float64)
    torch.testing.assert_close(kept @ vector, streamed @ vector, rtol=1e-13, atol=1e-13)
    assert streamed.route.startswith("graphs rebuilt")
    assert "cached" in kept.route
    assert "rebuilt" not in kept.route
