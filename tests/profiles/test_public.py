"""`hs.profile` and `hs.audit`: the numbers by name, and the pages that the commands write."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

import hessium as hs
from hessium.errors import InputError
from hessium.runs.run_directory import RunDirectory
from support.counted_data import counted_risk

RISK, _ = counted_risk(30, nn.CrossEntropyLoss())
LARGE: dict[str, Any] = {"max_dim": 40, "top": 3, "probes": 6, "steps": 15, "tol": 1e-2}


@functools.cache
def profiled(large: bool = False) -> hs.Profile:
    """The profile of the risk by dense matrices, or as that of a large model."""
    return hs.profile(RISK, **(LARGE if large else {}))


@functools.cache
def audited() -> hs.Audit:
    """The audit of the risk."""
    return hs.audit(RISK)


def test_a_profile_names_its_numbers() -> None:
    found = profiled()
    values = np.linalg.eigvalsh(hs.Hessian(RISK).dense().numpy())
    np.testing.assert_allclose(found.hessian.nodes, values, atol=1e-12)
    assert found.gauss_newton is not None
    assert found.residual is not None
    assert found.gauss_newton.rank(1e-6) == hs.rank(hs.GaussNewton(RISK))
    total = float(found.gauss_newton.mean() + found.residual.mean())
    assert total == pytest.approx(found.hessian.mean())
    assert float(found.trace) == pytest.approx(values.sum())
    assert found.trace.lower <= values.sum() <= found.trace.upper
    assert found.index == (values < -1e-6 * np.abs(values).max()).sum()
    assert found.rank == (np.abs(values) > 1e-6 * np.abs(values).max()).sum()
    assert list(found.layers) == ["0", "2"]
    assert sum(layer.dim for layer in found.layers.values()) == RISK.dim
    traces = [float(layer.trace) for layer in found.layers.values()]
    assert sum(traces) == pytest.approx(values.sum())


def test_a_large_profile_answers_the_same_questions() -> None:
    exact, found = hs.profile(RISK, tol=1e-2), profiled(large=True)
    assert not found.hessian.exact
    assert found.hessian.known.max() == pytest.approx(exact.hessian.known.max(), rel=1e-4)
    # brackets at level 0.999 of one fixed seed
    assert found.index.lower <= exact.index.value <= found.index.upper
    assert found.rank.lower <= exact.rank.value <= found.rank.upper
    assert found.trace.lower <= float(exact.trace) <= found.trace.upper
    assert found.trace.stderr > 0
    for name, layer in found.layers.items():
        assert abs(layer.largest - exact.layers[name].largest) <= layer.error + 1e-12
    assert found.gauss_newton is not None
    assert not found.gauss_newton.exact


def test_a_checkpoint_keeps_what_is_finished(tmp_path: Path) -> None:
    first = hs.profile(RISK, checkpoint=tmp_path / "run")
    again = hs.profile(RISK, checkpoint=tmp_path / "run")
    assert first.reused == 0
    assert again.reused == 7  # H, H0, H1, and two blocks of two layers
    np.testing.assert_array_equal(first.hessian.nodes, again.hessian.nodes)


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("measure", "name"),
    [
        (lambda: profiled(), "spectrum"),
        (lambda: profiled(large=True), "spectrum"),
        (lambda: audited(), "compare"),
    ],
)
def test_a_report_is_the_page_of_the_command(
    measure: Callable[[], Any], name: str, tmp_path: Path
) -> None:
    found = measure()
    page = found.report(tmp_path / "run")
    assert "Sequential" in page.read_text()
    (section,) = RunDirectory.open(tmp_path / "run").sections()
    assert section.experiment == name
    assert section.findings.tables == found.findings.tables
    assert (tmp_path / "run" / "arrays" / f"{name}.npz").exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="files that hessium did not write"):
        found.report(tmp_path / "other")


def _cells(found: hs.Profile) -> dict[str, dict[str, Any]]:
    table = found.findings.quoted[0]
    names = [str(row[0]) for row in table.rows]
    columns = zip(*(row[1:] for row in table.rows), strict=True)
    return {
        sign: dict(zip(names, column, strict=True))
        for sign, column in zip(table.columns[1:], columns, strict=True)
    }


@pytest.mark.parametrize("arguments", [{}, LARGE])
def test_a_page_begins_with_the_numbers(arguments: dict[str, Any], tmp_path: Path) -> None:
    found = profiled(large=bool(arguments))
    cells = _cells(found)
    assert list(cells) == ["H", "H₀", "H₁"]
    tol = found.plan.tol
    truths = {"H": hs.Hessian(RISK), "H₀": hs.GaussNewton(RISK), "H₁": hs.ResidualHessian(RISK)}
    for sign, operator in truths.items():
        values = hs.spectrum(operator).nodes
        beyond = tol * np.abs(values).max()
        expected = {
            "size": values.size,
            "largest eigenvalue": values[-1],
            "smallest eigenvalue": values[0],
            "trace": values.sum(),
            "Frobenius norm": np.linalg.norm(values),
            "negative mass": -values[values < 0].sum() / np.abs(values).sum(),
            "index": (values < -beyond).sum(),
            "rank": (np.abs(values) > beyond).sum(),
        }
        assert list(cells[sign]) == list(expected)
        for name, truth in expected.items():
            number = cells[sign][name]
            if number == "≥ 0":
                assert (sign, name, bool(arguments)) == ("H₀", "smallest eigenvalue", True)
                continue
            low = number.value if number.low is None else number.low
            high = number.value if number.high is None else number.high
            # sums over the probes of one fixed seed: twice the 95 % interval
            room = 1e-12 + ((high - low) / 2 if "95%" in number.basis else 0.0)
            assert low - room <= truth <= high + room, (sign, name)
            # the same bracket would not hold twice the truth
            assert abs(truth) < 1e-9 or not low <= 2 * truth <= high, (sign, name)
    page = found.report(tmp_path / "run").read_text()
    places = [
        page.index(words)
        for words in (
            "Curvature of Sequential",
            ">The matrices&nbsp;<a",
            ">Layers&nbsp;<a",
            "<figure id=",
            'class="statements"',
            ">Loss and gradient&nbsp;<a",
        )
    ]
    assert places == sorted(places)
    assert page.count("<figure id=") == len(found.findings.charts)
    claims = [one.claim for one in found.findings.statements]
    assert len(claims) == 3  # more outputs than parameters: also whether H0 is singular


@pytest.mark.parametrize("arguments", [{}, LARGE])
def test_a_profile_is_a_table_and_a_file(arguments: dict[str, Any], tmp_path: Path) -> None:
    found = profiled(large=bool(arguments))
    frame = found.to_dataframe()
    assert list(frame["matrix"]) == ["hessian", "gauss_newton", "residual"]
    assert frame["index"][0] == found.index.value
    assert frame["rank_upper"][0] == found.rank.upper
    assert frame["trace"][0] == found.trace.value
    hs.save(found, tmp_path / "profile")
    again = hs.load(tmp_path / "profile")
    assert again.report(tmp_path / "run").exists()
    assert again.findings.tables == found.findings.tables
    assert len(found.plot(Figure().add_subplot()).lines) >= 3
    assert "<svg" in found.matrices["residual"]._repr_html_()


def test_an_audit_names_its_numbers() -> None:
    found = audited()
    np.testing.assert_allclose(found.hessian.nodes, hs.spectrum(hs.Hessian(RISK)).nodes, atol=1e-12)
    assert found.ranks.hessian == found.hessian.rank(1e-10)
    assert found.levels is not None
    assert found.no_levels == ""
    assert found.symmetries.parameters == RISK.dim
    assert len(found.assumptions.checks) > 5
    assert list(found.to_dataframe()["matrix"]) == ["hessian", "gauss_newton", "residual"]


@pytest.mark.unchecked
@pytest.mark.parametrize("wrong", [None, "risk", torch.eye(3), nn.Linear(2, 2)])
@pytest.mark.parametrize("measure", [hs.profile, hs.audit])
def test_what_is_no_risk_is_refused(measure: Callable[[Any], Any], wrong: Any) -> None:
    with pytest.raises(InputError, match=r"^risk: "):
        measure(wrong)


def test_a_closure_has_no_parts() -> None:
    net = nn.Linear(3, 2).double()
    risk = hs.EmpiricalRisk.from_closure(net, lambda m: (m(torch.ones(4, 3).double()) ** 4).sum())
    found = hs.profile(risk)
    assert found.gauss_newton is None
    assert found.residual is None
    with pytest.raises(InputError, match="tol: "):
        hs.profile(risk, tol=2.0)
