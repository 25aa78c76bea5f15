from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hessium.curvature import Hessian
from hessium.figures.records import Number
from hessium.problem import EmpiricalRisk, SquaredError
from hessium.profiles import Profile
from hessium.profiles.dense_measurement import dense_spectra
from hessium.profiles.layers import layers
from hessium.profiles.measurement import profile
from hessium.runs.part_cache import PartCache
from hessium.runs.result_store import Store


def _risk(samples: int = 6) -> EmpiricalRisk:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    x = torch.randn(samples, 2, dtype=torch.float64)
    return EmpiricalRisk(net, SquaredError(), (x, x.sum(dim=1, keepdim=True) + 3))


def portray(risk: EmpiricalRisk, tol: float = 1e-6) -> Profile:
    return profile(risk, tol=tol)


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
    found = {name: one.nodes for name, one in dense_spectra(risk).items()}
    dense = Hessian(risk).dense().numpy()
    np.testing.assert_allclose(found["hessian"], np.linalg.eigvalsh(dense), atol=1e-12)
    np.testing.assert_allclose(found["hessian/0"], np.linalg.eigvalsh(dense[:12, :12]), atol=1e-12)
    np.testing.assert_allclose(found["hessian/2"], np.linalg.eigvalsh(dense[12:, 12:]), atol=1e-12)
    traces = {name: values.sum() for name, values in found.items()}
    assert traces["hessian"] == pytest.approx(traces["gauss_newton"] + traces["residual"])
    assert traces["hessian"] == pytest.approx(traces["hessian/0"] + traces["hessian/2"])


def test_progress_counts_the_matrices() -> None:
    seen: list[tuple[int, int, str]] = []
    dense_spectra(_risk(), progress=lambda *step: seen.append(step))
    assert seen == [(i, 7, "matrices") for i in range(8)]


def test_what_is_finished_is_found_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first, again, other = (PartCache(store, {"risk": name}) for name in ("a", "a", "b"))
    expected = dense_spectra(_risk(), kept=first)
    found = dense_spectra(_risk(), kept=again)
    assert again.loaded == list(expected)
    assert not first.loaded
    for name, spectrum in expected.items():
        np.testing.assert_array_equal(found[name].nodes, spectrum.nodes)
    dense_spectra(_risk(), kept=other)
    assert not other.loaded


def test_layers_within_layers_are_taken_together() -> None:
    inner = [nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 2)) for _ in range(3)]
    x = torch.randn(4, 2)
    risk = EmpiricalRisk(nn.Sequential(*inner), nn.MSELoss(), (x, x))
    assert list(layers(risk)) == ["0.0", "0.2", "1.0", "1.2", "2.0", "2.2"]
    assert {k: len(v) for k, v in layers(risk, most=5).items()} == {"0": 4, "1": 4, "2": 4}
    assert len(layers(risk, most=6)) == 6
    assert len(layers(risk, most=1)) == 3


def test_a_portrait_holds_the_counts_of_the_matrices() -> None:
    risk = _risk()
    found = portray(risk, tol=1e-6)
    findings, arrays = found.findings, found.arrays
    table = findings.quoted[0]
    assert table.columns == ("number", "H", "H₀", "H₁")
    cells: dict[str, dict[str, Any]] = {
        sign: {str(row[0]): row[column] for row in table.rows}
        for column, sign in enumerate(table.columns)
        if column
    }
    values = arrays["hessian"]
    cut = 1e-6 * np.abs(values).max()
    assert cells["H"]["rank"].value == (np.abs(values) > cut).sum()
    assert cells["H"]["index"].value == (values < -cut).sum() > 0
    assert cells["H₀"]["rank"].value == 6
    assert cells["H"]["Frobenius norm"].value == pytest.approx(np.linalg.norm(values))
    assert findings.statements[0].verdict == "does not hold"
    assert f"index {(values < -cut).sum()} " in findings.statements[0].evidence
    # fewer outputs than parameters: that H0 is singular is no finding
    assert not any("undetermined" in one.claim for one in findings.statements)
    charts = {chart.name: chart for chart in findings.charts}
    assert list(charts) == ["density", "eigenvalues", "layers", "threshold"]
    for series in charts["density"].series:
        if series.mark == "line":  # on its own axis it has the mass of all eigenvalues
            t = np.arcsinh(series.x / charts["density"].x_linear)
            mass = np.sum((series.y[1:] + series.y[:-1]) / 2 * np.diff(t))
            assert mass == pytest.approx(risk.dim, rel=0.02)
    counts = {one.label: one.y[np.isclose(one.x, 1e-6)] for one in charts["threshold"].series}
    assert counts["H, negative"] == cells["H"]["index"].value
    assert counts["H, negative"] + counts["H, positive"] == cells["H"]["rank"].value
    first = {one.label: one.y[0] for one in charts["eigenvalues"].series}
    assert first["H, positive"] == pytest.approx(values[-1] / np.abs(values).max())
    assert first["H, negative"] == pytest.approx(-values[0] / np.abs(values).max())


def test_a_closure_has_a_hessian_only() -> None:
    found = portray(_closure())
    findings, arrays = found.findings, found.arrays
    assert set(arrays) == {"hessian"}
    assert [s.verdict for s in findings.statements] == ["holds"]
    assert any("closure" in note for note in findings.notes)


def test_single_precision_says_what_rounding_leaves_open() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 3))
    # softmax is blind to a constant: five eigenvalues are zero, up to rounding
    risk = EmpiricalRisk(net, nn.CrossEntropyLoss(), (torch.randn(6, 2), torch.arange(6) % 3))
    findings = portray(risk, tol=1e-6).findings
    assert any("float32" in note for note in findings.notes)
    rank = next(row[1] for row in findings.quoted[0].rows if row[0] == "rank")
    assert isinstance(rank, Number)
    assert rank.low is not None
    assert rank.high is not None
    assert rank.low <= 22 < rank.high
    coarse = portray(risk, tol=1e-3).findings
    assert not any("float32" in note for note in coarse.notes)
    charts = {chart.name: chart for chart in findings.charts}
    for name in ("eigenvalues", "layers", "threshold"):
        for series in charts[name].series:
            assert (series.x if name == "threshold" else series.y).min() > 1e-7
    # what rounding leaves of the five zeros is not among the eigenvalues
    known = [one for one in charts["eigenvalues"].series if one.label.startswith("H,")]
    assert sum(one.x[-1] for one in known) <= 22


def test_a_zero_hessian_has_no_spectrum_to_draw() -> None:
    risk = EmpiricalRisk.from_closure(nn.Linear(2, 1).double(), _sum_of_weights)
    found = portray(risk)
    findings, arrays = found.findings, found.arrays
    assert (arrays["hessian"] == 0).all()
    assert [chart.name for chart in findings.charts] == ["threshold"]
    assert findings.statements[0].verdict == "holds"
