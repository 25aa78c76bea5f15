import numpy as np
import pytest
import torch
from torch import nn

from hessium.curvature import Hessian
from hessium.errors import InputError
from hessium.experiments.measurement import layers, measure
from hessium.experiments.own_model import portray
from hessium.experiments.records import Number
from hessium.problem import EmpiricalRisk, SquaredError


def _risk(samples: int = 6) -> EmpiricalRisk:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    x = torch.randn(samples, 2, dtype=torch.float64)
    return EmpiricalRisk(net, SquaredError(), (x, x.sum(dim=1, keepdim=True) + 3))


def _closure() -> EmpiricalRisk:
    torch.manual_seed(0)
    x = torch.randn(5, 3, dtype=torch.float64)
    return EmpiricalRisk.from_closure(
        nn.Linear(3, 1, dtype=torch.float64), lambda net: (net(x) ** 4).sum()
    )


def _sum_of_weights(net: nn.Module) -> torch.Tensor:
    return torch.stack([p.sum() for p in net.parameters()]).sum()


def test_blocks_are_the_diagonal_blocks() -> None:
    risk = _risk()
    assert layers(risk) == {"0": ["0.weight", "0.bias"], "2": ["2.weight", "2.bias"]}
    found = measure(risk)
    dense = Hessian(risk).dense().numpy()
    np.testing.assert_allclose(found["hessian"], np.linalg.eigvalsh(dense), atol=1e-12)
    np.testing.assert_allclose(found["hessian/0"], np.linalg.eigvalsh(dense[:12, :12]), atol=1e-12)
    np.testing.assert_allclose(found["hessian/2"], np.linalg.eigvalsh(dense[12:, 12:]), atol=1e-12)
    traces = {name: values.sum() for name, values in found.items()}
    assert traces["hessian"] == pytest.approx(traces["gauss_newton"] + traces["residual"])
    assert traces["hessian"] == pytest.approx(traces["hessian/0"] + traces["hessian/2"])


def test_progress_counts_the_matrices() -> None:
    seen: list[tuple[int, int, str]] = []
    measure(_risk(), progress=lambda *step: seen.append(step))
    assert seen == [(i, 7, "matrices") for i in range(8)]


def test_what_is_too_large_goes_through_the_gram_matrix() -> None:
    risk = _risk()
    found = measure(risk, max_dim=10)
    assert set(found) == {"gauss_newton"}
    np.testing.assert_allclose(found["gauss_newton"], measure(risk)["gauss_newton"], atol=1e-12)
    findings, _ = portray(risk, max_dim=10)
    assert any("H was not measured" in note for note in findings.notes)
    with pytest.raises(InputError, match=r"--max-dim: 5; the risk has 17 parameters"):
        measure(risk, max_dim=5)


def test_a_portrait_holds_the_counts_of_the_matrices() -> None:
    risk = _risk()
    findings, arrays = portray(risk, tol=1e-6)
    table = findings.tables[1]
    cells = {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}
    values = arrays["hessian"]
    cut = 1e-6 * np.abs(values).max()
    assert cells["H"]["rank"].value == (np.abs(values) > cut).sum()  # type: ignore[union-attr]
    assert cells["H"]["index"].value == (values < -cut).sum() > 0  # type: ignore[union-attr]
    assert cells["H₀"]["rank"].value == 6  # type: ignore[union-attr]
    assert findings.statements[0].verdict == "does not hold"
    assert f"index {(values < -cut).sum()} " in findings.statements[0].evidence


def test_a_closure_has_a_hessian_only() -> None:
    findings, arrays = portray(_closure())
    assert set(arrays) == {"hessian"}
    assert [s.verdict for s in findings.statements] == ["holds"]
    assert any("closure" in note for note in findings.notes)


def test_single_precision_says_what_rounding_leaves_open() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 3))
    # softmax is blind to a constant: five eigenvalues are zero, up to rounding
    risk = EmpiricalRisk(net, nn.CrossEntropyLoss(), (torch.randn(6, 2), torch.arange(6) % 3))
    findings, _ = portray(risk, tol=1e-6)
    assert any("are brackets" in note for note in findings.notes)
    rank = dict(zip(findings.tables[1].columns, findings.tables[1].rows[0], strict=True))["rank"]
    assert isinstance(rank, Number)
    assert rank.low is not None
    assert rank.high is not None
    assert rank.low <= 22 < rank.high
    coarse, _ = portray(risk, tol=1e-3)
    assert not any("are brackets" in note for note in coarse.notes)
    for chart in findings.charts:
        for series in chart.series:
            assert (series.x if chart.name == "cut-off" else series.y).min() > 1e-6


def test_a_zero_hessian_has_no_spectrum_to_draw() -> None:
    risk = EmpiricalRisk.from_closure(nn.Linear(2, 1).double(), _sum_of_weights)
    findings, arrays = portray(risk)
    assert (arrays["hessian"] == 0).all()
    assert [chart.name for chart in findings.charts] == ["cut-off"]
    assert findings.statements[0].verdict == "holds"
