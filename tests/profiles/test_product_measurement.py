"""The page of a large model beside the dense truth, public functions, and its own resumption."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import hessium as hs
from hessium.errors import InputError, NonFiniteError
from hessium.figures.records import Findings, Number, Table
from hessium.profiles import Profile
from hessium.profiles.counting_operator import CountingOperator
from hessium.profiles.measurement import Measurement
from hessium.profiles.plan import Plan
from hessium.profiles.stored_parts import identity
from hessium.progress import Progress, silent
from hessium.runs.codec import decode, encode
from hessium.runs.result_store import Store

PLAN = Plan(max_dim=60, top=4, probes=8, steps=20, seed=3, tol=1e-2)


def _risk(samples: int = 40, seed: int = 0) -> hs.EmpiricalRisk:
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 10), nn.Tanh(), nn.Linear(10, 3))
    x = torch.randn(samples, 6, dtype=torch.float64)
    return hs.EmpiricalRisk(net.double(), nn.CrossEntropyLoss(), (x, torch.arange(samples) % 3))


@pytest.fixture(scope="module")
def risk() -> hs.EmpiricalRisk:
    return _risk()


def measured(
    risk: hs.EmpiricalRisk,
    plan: Plan = PLAN,
    store: Store | None = None,
    progress: Progress = silent,
) -> Profile:
    """As far as the measurement comes."""
    measurement = Measurement(risk, plan, store)
    measurement.run(progress)
    return measurement.result()


@pytest.fixture(scope="module")
def found(risk: hs.EmpiricalRisk) -> Profile:
    return measured(risk)


def table(found: Profile, title: str) -> Table:
    tables = (*found.findings.quoted, *found.findings.tables)
    (chosen,) = (t for t in tables if t.title.startswith(title))
    return chosen


def matrices(found: Profile) -> dict[str, dict[str, Number]]:
    """The numbers of each matrix by name."""
    chosen = table(found, "The matrices")
    return {
        sign: {str(row[0]): row[column] for row in chosen.rows}  # type: ignore[misc]
        for column, sign in enumerate(chosen.columns)
        if column
    }


def cells(table: Table) -> dict[str, dict[str, Number]]:
    return {
        str(row[0]): dict(zip(table.columns, row, strict=True))  # type: ignore[arg-type]
        for row in table.rows
    }


def inside(number: Number, truth: float, slack: float = 0.0) -> bool:
    assert number.low is not None
    assert number.high is not None
    return number.low - slack <= truth <= number.high + slack


def near(number: Number, truth: float) -> bool:
    assert number.high is not None
    return abs(number.value - truth) <= 3 * (number.high - number.value)


MATRICES: dict[str, Any] = {"H": hs.Hessian, "H₀": hs.GaussNewton, "H₁": hs.ResidualHessian}


def test_the_page_holds_the_dense_truth(risk: hs.EmpiricalRisk, found: Profile) -> None:
    one_by_one = table(found, "Largest and smallest")
    for column, (sign, kind) in enumerate(MATRICES.items(), 1):
        values = hs.spectrum(kind(risk)).nodes
        tol = 1e-2 * np.abs(values).max()
        row = matrices(found)[sign]
        # brackets with confidence 0.999 of one fixed seed
        assert inside(row["rank"], int((np.abs(values) > tol).sum()))
        assert inside(row["index"], int((values < -tol).sum()))
        assert inside(row["largest eigenvalue"], values[-1], 1e-12)
        if sign != "H₀":
            assert inside(row["smallest eigenvalue"], values[0], 1e-12)
        # three half-widths are 6 standard errors of 8 probes: each misses for 1 seed in 5,000
        assert near(row["trace"], values.sum())
        assert near(row["Frobenius norm"], float(np.linalg.norm(values)))
        assert not near(row["Frobenius norm"], 2 * float(np.linalg.norm(values)))
        mass = -values[values < 0].sum() / np.abs(values).sum()
        assert inside(row["negative mass"], mass, 0.2 * mass)
        below = [] if sign == "H₀" else list(values[:4])
        cells = [row[column] for row in one_by_one.rows if row[column] != ""]
        for cell, truth in zip(cells, [*values[::-1][:4], *below], strict=True):
            assert isinstance(cell, Number)
            assert inside(cell, truth, 1e-12)
            assert abs(cell.value - truth) <= 1e-5 * abs(truth)  # the residual squared


def test_layers_are_the_diagonal_blocks(risk: hs.EmpiricalRisk, found: Profile) -> None:
    rows = cells(table(found, "Layers"))
    assert list(rows) == ["H of layer 0", "H of layer 2", "H of layer 4"]
    for name, row in rows.items():
        block = hs.Hessian(risk.restrict([name.rpartition(" ")[2]])).dense()
        values = np.linalg.eigvalsh(block.numpy())
        top = values[np.abs(values).argmax()]
        assert row["size"].value == len(values)
        assert inside(row["largest |eigenvalue|"], top, 1e-12)
        assert near(row["trace"], values.sum())
    products = {name: cost["products"] for name, cost in found.costs.items()}
    rest = sum(n for name, n in products.items() if not name.startswith(("layers", "residual")))
    spent = sum(n for name, n in products.items() if name.startswith("layers"))
    assert 0 < spent <= (PLAN.share + 0.15) * rest


def test_the_numbers_are_those_of_the_public_functions(
    risk: hs.EmpiricalRisk, found: Profile
) -> None:
    streams = np.random.default_rng(PLAN.seed).spawn(7)
    for name, sign, first in (("hessian", "H", 0), ("residual", "H₁", 5)):
        op = MATRICES[sign](risk)
        pairs = hs.eigenpairs(op, 8, "BE", tol=1e-3, rng=streams[first])
        measure = hs.spectral_measure(op, 8, 20, deflate=pairs, rng=streams[first + 1])
        row = matrices(found)[sign]
        assert row["largest eigenvalue"].value == pytest.approx(pairs.values.max(), rel=1e-10)
        trace, error = measure.integral(lambda x: x)
        assert row["trace"].value == pytest.approx(risk.dim * trace, rel=1e-8)
        normal = 1.959964  # quantile 0.975
        assert row["trace"].high == pytest.approx(risk.dim * (trace + normal * error), rel=1e-6)
        spectrum = found.matrices[name].spectrum
        assert spectrum is not None
        np.testing.assert_allclose(spectrum.nodes, measure.nodes, atol=1e-10)
    # where the eigenvalues largest in magnitude are deflated, the counts are those of `inertia`
    outer = hs.GaussNewton(risk)
    largest = hs.eigenpairs(outer, 4, tol=1e-3, rng=streams[2])
    measure = hs.spectral_measure(outer, 8, 20, deflate=largest, rng=streams[3])
    doubt = 1e-2 * largest.residuals[0]
    rank = measure.inertia_at(1e-2, float(largest.values[0]), float(doubt), 0.999).rank
    got = matrices(found)["H₀"]["rank"]
    assert (got.value, got.low, got.high) == (rank.value, rank.lower, rank.upper)


def test_the_residual_part_can_be_left_out() -> None:
    found = hs.profile(_risk(), max_dim=60, top=2, probes=2, steps=5, residual=False)
    assert found.residual is None
    assert list(found.matrices) == ["hessian", "gauss_newton"]


def test_a_residual_part_that_is_zero_is_said_to_be_zero() -> None:
    net = nn.Linear(6, 12).double()
    x = torch.randn(40, 6, dtype=torch.float64)
    risk = hs.EmpiricalRisk(net, hs.SquaredError(), (x, torch.randn(40, 12, dtype=torch.float64)))
    found = hs.profile(risk, max_dim=60, top=2, probes=2, steps=5)
    row: dict[str, Any] = dict(matrices(found)["H₁"])
    assert row["largest eigenvalue"] == "the matrix is zero"
    assert row["rank"].value == row["trace"].value == 0
    assert found.to_dataframe()["largest"][2] == 0


def test_charts_show_the_same_numbers(found: Profile) -> None:
    charts = {chart.name: chart for chart in found.findings.charts}
    assert list(charts) == ["density", "eigenvalues", "threshold"]
    density = charts["density"]
    assert density.x_scale == "symlog"
    curve = density.series[0]
    # on its own axis the density has the mass of all eigenvalues
    t = np.arcsinh(curve.x / density.x_linear)
    mass = np.sum((curve.y[1:] + curve.y[:-1]) / 2 * np.diff(t))
    assert mass == pytest.approx(_risk().dim, rel=0.02)
    row = matrices(found)["H"]
    (cut,) = (one for one in charts["threshold"].series if one.label == "H, negative")
    at = int(np.argmin(np.abs(cut.x - 1e-2)))
    assert cut.x[at] == pytest.approx(1e-2)
    assert cut.low is not None
    assert cut.high is not None
    assert (cut.y[at], cut.low[at], cut.high[at]) == (
        row["index"].value,
        row["index"].low,
        row["index"].high,
    )


def test_findings_survive_their_file(found: Profile) -> None:
    again = decode(Findings, encode(found.findings))
    assert again.tables == found.findings.tables
    assert again.charts[0].x_linear == found.findings.charts[0].x_linear
    old = encode(found.findings)
    del old["charts"][0]["x_linear"]  # written before there was such a field
    assert decode(Findings, old).charts[0].x_linear == 1.0


def test_costs_are_counted(found: Profile) -> None:
    rows = cells(table(found, "Cost"))
    # every probe by itself, and one product that proves it; that the pairs taken out of it are
    # those of H was seen as they came
    assert rows["density of H"]["products"].value == 8 * (20 + 1)
    parts = [row["products"].value for name, row in rows.items() if name != "all together"]
    assert rows["all together"]["products"].value == sum(parts)


def test_gauss_newton_through_the_samples_is_exact() -> None:
    risk = _risk(samples=12)  # 36 outputs
    found = measured(risk)
    row = matrices(found)["H₀"]
    values = hs.spectrum(hs.GaussNewton(risk)).nodes
    assert row["rank"].value == (values > 1e-2 * values[-1]).sum()
    assert row["rank"].basis == "exact"
    assert row["size"].value == risk.dim
    assert row["trace"].value == pytest.approx(values.sum(), rel=1e-10)


class Interrupted(KeyboardInterrupt):
    pass


def _stop_at(products: int) -> tuple[list[int], Progress]:
    seen: list[int] = []

    def progress(done: int, total: int, what: str) -> None:
        assert done <= total
        if what == "products":
            seen.append(done)
            if done >= products:
                raise Interrupted

    return seen, progress


@pytest.mark.slow
def test_a_stopped_run_shows_what_is_finished_and_goes_on(tmp_path: Path, found: Profile) -> None:
    _, progress = _stop_at(160)
    stopped = measured(_risk(), PLAN, Store(tmp_path), progress)
    assert stopped.stopped == "Ctrl-C"
    assert "Ctrl-C" in stopped.findings.notes[0]
    names = {p.name for p in tmp_path.glob("*.npz")}
    again = measured(_risk(), PLAN, Store(tmp_path))
    assert again.stopped == ""
    assert 0 < again.reused < len(names) + 1
    left = {p.name for p in tmp_path.iterdir()}
    assert names < left
    assert {Path(name).suffix for name in left} == {".npz"}  # no state of what is stored
    for title in ("The matrices", "Largest and smallest", "Layers"):
        ours, straight = (_values(table(f, title)) for f in (again, found))
        np.testing.assert_array_equal(ours, straight)


def test_another_risk_has_another_name() -> None:
    risk = _risk()
    mine = identity(risk, 1.0, 1.0)
    assert identity(_risk(), 1.0, 1.0) == mine
    assert identity(risk, 1.0 + 1e-9, 1.0) == mine  # sums of threads
    assert identity(_risk(seed=1), 1.0, 1.0) != mine
    assert identity(risk, 1.01, 1.0) != mine
    assert identity(risk, 1.0, 1.01) != mine


def _values(table: Table) -> list[float]:
    return [cell.value for row in table.rows for cell in row if isinstance(cell, Number)]


@pytest.mark.slow
def test_more_probes_are_added_to_those_there_are(tmp_path: Path) -> None:
    few = Plan(max_dim=60, top=4, probes=2, steps=10, seed=3)
    more = Plan(max_dim=60, top=4, probes=3, steps=10, seed=3)
    measured(_risk(), few, Store(tmp_path))
    grown = measured(_risk(), more, Store(tmp_path))
    assert grown.reused >= 9  # pairs and two probes of H, H0 and H1
    fresh = measured(_risk(), more)
    assert _values(table(grown, "The matrices")) == _values(table(fresh, "The matrices"))


def test_ctrl_c_keeps_finished_parts_and_is_raised(tmp_path: Path, found: Profile) -> None:
    settings: dict[str, Any] = {"max_dim": 60, "top": 4, "probes": 8, "steps": 20, "seed": 3}
    _, progress = _stop_at(160)
    with pytest.raises(KeyboardInterrupt) as raised:
        hs.profile(_risk(), tol=1e-2, **settings, checkpoint=tmp_path / "run", progress=progress)
    assert "the same call resumes" in raised.value.__notes__[0]
    again = hs.profile(_risk(), tol=1e-2, **settings, checkpoint=tmp_path / "run")
    assert again.reused > 0
    np.testing.assert_array_equal(again.hessian.nodes, found.hessian.nodes)
    again.report(tmp_path / "run")


def test_nothing_finished_is_nothing_to_show() -> None:
    _, progress = _stop_at(0)
    with pytest.raises(KeyboardInterrupt):
        hs.profile(_risk(), max_dim=60, progress=progress)


def _nan_when_frozen(net: nn.Module) -> torch.Tensor:
    x = torch.linspace(-1, 1, 20, dtype=torch.float64).view(10, 2)
    kinds = {p.requires_grad for p in net.parameters()}
    return (net(x) ** 4).sum() * (float("nan") if len(kinds) > 1 else 1.0)


def test_a_product_that_is_not_finite_keeps_what_came_before() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 20), nn.Tanh(), nn.Linear(20, 2)).double()
    risk = hs.EmpiricalRisk.from_closure(net, _nan_when_frozen)
    found = measured(risk)
    assert "NaN or infinite" in found.stopped
    assert "NaN or infinite" in found.findings.notes[0]
    assert list(matrices(found)) == ["H"]
    assert [t.title for t in found.findings.quoted] == ["The matrices"]
    with pytest.raises(NonFiniteError):
        hs.profile(risk, max_dim=60, top=4, probes=8, steps=20)


def test_too_little_memory_is_said_before_any_product() -> None:
    with pytest.raises(InputError, match=r"^max_bytes: "):
        Measurement(_risk(), Plan(max_dim=60, top=4, max_bytes=2**10))


def test_a_counting_operator_counts_and_prepares_once(risk: hs.EmpiricalRisk) -> None:
    inner = hs.Hessian(risk)
    op = CountingOperator(inner)
    block = torch.randn(risk.dim, 3, dtype=torch.float64)
    torch.testing.assert_close(op @ block, inner @ block)
    assert op.products == 3
    assert op.seconds > 0
    assert op.prepare(10) is op.prepare(10**6, 10) is op
    assert op.route == inner.route


def test_one_probe_has_an_error_by_its_law_but_no_scatter() -> None:
    plan = Plan(max_dim=60, top=2, probes=1, steps=10)
    found = measured(_risk(), plan)
    trace = matrices(found)["H"]["trace"]
    assert trace.high is not None
    assert trace.high > trace.value
    density = found.findings.charts[0].series[0]
    assert density.low is None
