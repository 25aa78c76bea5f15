"""`hs.identify` and `hessium identify`: answers, units, files, and bad input."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import torch

import hessium as hs
from hessium.cli import main
from hessium.profiles.units import plus_minus
from support.posterior_cases import Scalars
from support.risk_cases import draw, mlp

X = torch.linspace(0, 1, 8, dtype=torch.float64)[:, None]
NOISE = 0.1
FILE = """
import torch, hessium as hs

class Line(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.a = torch.nn.Parameter(torch.tensor(1.0, dtype=torch.float64))
        self.b = torch.nn.Parameter(torch.tensor(2.0, dtype=torch.float64))

    def forward(self, x):
        return self.a + self.b * x

def make():
    x = torch.linspace(0, 1, 8, dtype=torch.float64)[:, None]
    return hs.EmpiricalRisk(Line(), hs.SquaredError(), (x, Line()(x).detach()))

def asked():
    return make(), {"noise": 0.1, "units": {"a": "m"}, "inputs": {"x": "s"}}

def wrong():
    return make(), {"noize": 0.1}

def other():
    return make(), 3
"""


def line() -> hs.EmpiricalRisk:
    model = Scalars(lambda x, p: p["a"] + p["b"] * x, a=1.0, b=2.0)
    return hs.EmpiricalRisk(model, hs.SquaredError(), (X, model(X).detach()))


def exact() -> tuple[Any, Any]:
    """Covariance of intercept and slope, and standard deviations on the default grid."""
    design = np.c_[np.ones(8), X.numpy()]
    covariance = NOISE**2 * np.linalg.inv(design.T @ design)
    grid = np.c_[np.ones(101), np.linspace(0, 1, 101)]
    return covariance, np.sqrt(np.einsum("ij,jk,ik->i", grid, covariance, grid))


def test_a_line_gets_the_answers_of_linear_regression() -> None:
    found = hs.identify(
        line(), noise=NOISE, units={"a": "m"}, inputs={"x": "s"}, outputs={"u": "m"}, k=2
    )
    covariance, std = exact()
    assert found.parameters is not None
    np.testing.assert_allclose(found.parameters.std, np.sqrt(np.diag(covariance)), rtol=1e-10)
    np.testing.assert_allclose(found.prediction_std[:, 0], std, rtol=1e-10)
    np.testing.assert_allclose(found.gains, 0.5 * np.log1p(std**2 / NOISE**2), rtol=1e-9)
    # the ends of the line are the places of least certainty
    assert found.design is not None
    assert sorted(found.candidates[found.design.indices, 0].tolist()) == [0.0, 1.0]
    assert found.trust.valid
    assert [one.valid for one in found.profiles] == [True, True]
    words = {row[0]: row[1] for row in found.findings.quoted[0].rows}
    assert "a = (1.000 ± 0.065) m" in str(words["How well?"])
    assert "x = " in str(words["Where to measure next?"])
    assert str(words["May the errors be believed?"]).startswith("Yes: in 95.0 % of experiments")
    assert [row[4] for row in found.findings.quoted[1].rows] == ["yes", "yes"]
    assert {s.verdict for s in found.findings.statements} == {"holds"}


def test_the_page_says_what_each_interval_covers_and_what_the_data_add_to_a_prior() -> None:
    found = hs.identify(line(), noise=NOISE, prior_precision=4.0, refits=0)
    tables = {one.title: one for one in (*found.findings.tables, *found.findings.quoted)}
    checks = tables["Do the intervals cover what they say?"]
    assert [row[0] for row in checks.rows] == list(found.trust.labels)
    assert {row[4] for row in checks.rows} == {"yes"}
    assert {row[1:4] for row in checks.rows} == {("95 %", "95 %", "95 %")}
    # one number for a direction in both tables
    order = [f"direction {row[0]}" for row in tables["Directions of largest variance that the "
                                                     "data determine"].rows]  # fmt: skip
    shown = [label.partition(" [")[0] for label in found.trust.labels]
    assert [label for label in shown if label in order] == order
    design = np.c_[np.ones(8), X.numpy()]
    variances = np.diag(np.linalg.inv(design.T @ design / NOISE**2 + 4.0 * np.eye(2)))
    removed = [row[6] for row in tables["Parameters"].rows]
    assert removed == [f"{float(f'{100 * (1 - 4.0 * v):.2g}'):g} %" for v in variances]
    none = hs.identify(line(), noise=1e6, prior_precision=4.0, refits=0)
    assert [row[6] for row in none.findings.quoted[1].rows] == ["below 0.1 %"] * 2


def test_what_is_open_is_said_and_is_null_in_json(tmp_path: Path) -> None:
    model = Scalars(lambda x, p: p["b"] * p["c"] * x, b=2.0, c=3.0)
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (X, model(X).detach()))
    found = hs.identify(risk, noise=NOISE)
    summary = found.summary()
    json.dumps(summary, allow_nan=False)
    assert [one["std"] for one in summary["parameters"]] == [None, None]
    assert summary["combinations"][0]["name"] == "b c"
    assert "fix" in summary["advice"][0]
    statement = found.findings.statements[0]
    assert statement.verdict == "does not hold"
    page = found.report(tmp_path / "run").read_text()
    assert "Together: b c" in page
    assert "undetermined" in (tmp_path / "run" / "tables" / "parameters.csv").read_text()


def test_the_coverage_of_a_curved_model_is_in_the_summary_and_in_a_table() -> None:
    model = Scalars(lambda x, p: torch.exp(p["a"] * x), a=0.5)
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (X, model(X).detach()))
    found = hs.identify(risk, noise=1)
    (row,) = found.summary()["coverage"][:1]
    assert row["interval_along"] == "a"
    assert not row["believed"]
    assert [one["believed"] for one in found.summary()["parameters"]] == [False]
    assert row["coverage"] == found.trust.coverage[0] != pytest.approx(0.95, abs=1e-3)
    # at this noise the likelihood bounds the interval on one side; at a tenth of it on both
    few = hs.identify(risk, noise=0.3, refits=0)
    low, high = few.trust.coverage_range[0]
    assert low < high
    assert [few.summary()["coverage"][0][key] for key in ("least", "largest")] == [low, high]
    assert row["curvature_ratio"] == found.trust.curvature_ratio[0]
    assert row["first_order_radius"] == found.trust.first_order[0] < 2
    words = {row[0]: str(row[1]) for row in found.findings.quoted[0].rows}
    assert words["May the errors be believed?"].startswith("No, not for a (")
    assert "For a, do not use value ± standard deviation: take the interval" in words["What to do?"]
    (parameter,) = found.findings.quoted[1].rows
    assert parameter[4] == "no"
    # where the squares of the residuals grow by 1.96 variances of the noise squared
    x = X.numpy()[:, 0]

    def excess(a: float) -> float:
        return float(((np.exp(a * x) - np.exp(x / 2)) ** 2).sum()) - 1.959964**2

    ends = [scipy.optimize.brentq(excess, min(0.5, far), max(0.5, far)) for far in (-9.0, 9.0)]
    assert found.profiles[0].ends() == pytest.approx(tuple(ends), abs=0.03)
    assert found.summary()["parameters"][0]["refits_interval"] == list(found.profiles[0].ends())
    wide = hs.identify(risk, noise=3)  # no exp(a x) is below zero: the data bound one end
    assert str(wide.findings.quoted[1].rows[0][3]).startswith("below ")
    assert wide.summary()["parameters"][0]["refits_interval"][0] is None
    table = found.csv["coverage"]
    assert table["interval along"][0] == "a"
    assert table["coverage"][0] == row["coverage"]
    assert (table["least coverage"][0], table["largest coverage"][0]) == pytest.approx(
        tuple(found.trust.coverage_range[0]), nan_ok=True
    )


def test_two_inputs_get_a_map_and_many_get_the_data() -> None:
    rng = np.random.default_rng(0)
    for columns, charts in ((2, {"map-0", "predictions-0"}), (3, set())):
        x = torch.from_numpy(rng.standard_normal((12, columns)))
        model = torch.nn.Linear(columns, 1).double()
        risk = hs.EmpiricalRisk(model, torch.nn.MSELoss(), (x, model(x).detach()))
        found = hs.identify(risk, noise=NOISE)
        names = {chart.name for chart in found.findings.charts}
        assert names & {"map-0", "predictions-0"} == charts
        assert len(found.prediction) == (225 if columns == 2 else 12)


def test_a_loss_without_noise_has_no_design() -> None:
    x = torch.linspace(-1, 1, 20, dtype=torch.float64)[:, None]
    model = torch.nn.Linear(1, 2).double()
    y = (x[:, 0] + 0.3 * torch.sin(9 * x[:, 0]) > 0).long()
    risk = hs.EmpiricalRisk(model, torch.nn.CrossEntropyLoss(), (x, y))
    found = hs.identify(risk, prior_precision=1.0)
    assert found.design is None
    assert found.noise is None
    assert not found.gains.size
    assert "best" not in {row[0] for row in found.findings.quoted[0].rows}


@pytest.mark.parametrize(
    ("value", "std", "text"),
    [
        (2, 0.34, "2.00 ± 0.34"), (-0.0015, 0.5, "0.00 ± 0.50"), (1, 0.0995, "1.00 ± 0.10"),
        (-3.14159, 1e-3, "−3.1416 ± 0.0010"), (123456, 45, "123456 ± 45"),
        (3.2e-9, 1.5e-10, "3.2×10⁻⁹ ± 1.5×10⁻¹⁰"), (5, 0, "5 ± 0"),
    ],
)  # fmt: skip
def test_a_value_has_as_many_digits_as_its_error(value: float, std: float, text: str) -> None:
    assert plus_minus(value, std) == text
    assert plus_minus(value, std, "m") == f"({text}) m"


def test_unknown_units_are_refused() -> None:
    with pytest.raises(ValueError, match="units: 'kapa' is not a parameter"):
        hs.identify(line(), noise=NOISE, units={"kapa": "W"})


def test_the_command_writes_a_run_and_prints_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "line.py"
    file.write_text(FILE)
    out = tmp_path / "run"
    command = ["identify", f"{file}:asked", "--out", str(out)]
    assert main(command) == 0
    words = capsys.readouterr().out
    assert "How well?: a = (1.000 ± 0.065) m" in words
    assert "Measure at x = " in words
    assert {p.name for p in out.iterdir()} >= {"summary.json", "report.html", "figures", "arrays"}
    text = (out / "tables" / "predictions.csv").read_text()
    rows = list(csv.DictReader(text.splitlines()))
    np.testing.assert_allclose([float(r["std of output"]) for r in rows], exact()[1], rtol=1e-10)
    assert float(rows[-1]["x [s]"]) == 1.0
    assert main([*command, "--json", "--noise", "0.2", "--output", "u=m", "--next", "1"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["parameters"][0]["std"] == pytest.approx(2 * exact()[0][0, 0] ** 0.5)
    assert found["parameters"][0]["unit"] == "m"
    assert len(found["next_measurements"]) == 1
    assert found["confidence"] == 0.95
    covers = {one.pop("interval_along"): one for one in found["coverage"]}
    assert list(covers)[:2] == ["a", "b"]
    for one in covers.values():  # the model is linear
        assert [one[key] for key in ("coverage", "least", "largest")] == pytest.approx(
            [0.95] * 3, abs=1e-4
        )
        assert (one["believed"], one["refits_converge"]) == (True, True)
        assert one["first_order_radius"] is None
    assert [one["refits_coverage"] for one in found["parameters"]] == pytest.approx(
        [0.95] * 2, abs=1e-4
    )
    assert main(["identify", f"{file}:make", "--out", str(out)]) == 2
    assert "another run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["F:wrong"], "the dict has 'noize'"),
        (["F:other"], "returned an int beside the risk"),
        (["F:make"], "--noise"),  # no residual tells it
        (["F:asked", "--noise", "0"], "--noise: 0; a number > 0"),
        (["F:asked", "--unit", "=m"], "--unit: =m; NAME=UNIT is required"),
        (["F:asked", "--unit", "z=m"], "--unit: 'z' is not a parameter"),
        (["F:asked", "--criterion", "E"], "--criterion: E; A or D"),
        (["F:asked", "--refits", "-1"], "--refits: -1; an integer >= 0"),
        (["F:asked", "--parameter", "kappa"], "kappa"),
    ],
)
def test_bad_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    file = tmp_path / "line.py"
    file.write_text(FILE)
    given = [a.replace("F:", f"{file}:") for a in arguments]
    assert main(["identify", *given, "--out", str(tmp_path / "run")]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert message in err


def test_what_does_not_fit_is_refused_before_the_posterior() -> None:
    risk = hs.EmpiricalRisk(mlp(2, 3, 1), hs.SquaredError(), (draw(5, 2), draw(5, 1, seed=3)))
    with pytest.raises(ValueError, match=r"inputs: 3 names \(a, b, c\); there are 2"):
        hs.identify(risk, inputs=["a", "b", "c"])
    with pytest.raises(ValueError, match="outputs: 2 names"):
        hs.identify(risk, outputs=["u", "v"])
    with pytest.raises(ValueError, match="model does not take them"):
        hs.identify(risk, candidates=draw(4, 9))
    with pytest.raises(ValueError, match=r"candidates: outputs of shape .* at least one sample"):
        hs.identify(risk, candidates=draw(4, 2)[:0])
    with pytest.raises(ValueError, match="candidates: those given have 2 of 2 entries"):
        hs.identify(risk, candidates=draw(1, 2) * float("nan"))


def equation_and_data() -> hs.SumRisk:
    """u = a + b x with the equation u' = s at 20 points, and 8 measurements of u."""
    model = Scalars(lambda x, p: p["a"] + p["b"] * x, a=1.0, b=2.0, s=2.0)
    points = torch.linspace(0, 1, 20, dtype=torch.float64)[:, None]
    slope = hs.EmpiricalRisk(
        model,
        hs.SquaredError(),
        (points, torch.zeros_like(points)),
        forward=lambda m, x: m.get_parameter("b") - m.get_parameter("s") + 0 * x,
    )
    data = hs.EmpiricalRisk(model, hs.SquaredError(), (X, model(X).detach()))
    return hs.SumRisk({"equation": slope, "data": data})


def test_a_sum_needs_the_term_that_is_measured() -> None:
    """Candidates, predictions and counts are those of the data; the equation's are residuals."""
    both = equation_and_data()
    with pytest.raises(ValueError, match=r"term: None; .*'equation', 'data': name the one"):
        hs.identify(both, noise=NOISE)
    with pytest.raises(ValueError, match="term: 'u'; one of 'equation', 'data' is required"):
        hs.identify(both, noise=NOISE, term="u")
    with pytest.raises(ValueError, match="term: 'data'; the candidates are of 'equation'"):
        hs.identify(both, noise=NOISE, term="data", candidates=both.inputs_of("equation", X))
    with pytest.raises(ValueError, match="term: 'data'; the risk is not a sum"):
        hs.identify(line(), noise=NOISE, term="data")
    found = hs.identify(both, noise=NOISE, term="data", refits=0, k=1)
    assert found.candidates.shape == (101, 1)
    assert (found.candidates.min(), found.candidates.max()) == (0.0, 1.0)
    np.testing.assert_allclose(found.prediction[:, 0], 1 + 2 * found.candidates[:, 0], rtol=1e-12)
    # the equation adds a parameter of its own and nothing about a and b
    np.testing.assert_allclose(found.prediction_std[:, 0], exact()[1], rtol=1e-8)
    assert found.targets.shape == (8, 1)
    summary = found.summary()
    assert (summary["measurements"], summary["residuals"]) == (8, {"equation": 20})
    assert repr(found).startswith(
        "Identification(8 measurements and 20 residuals of other terms (equation) determine 3 "
    )
    same = hs.identify(both, noise=NOISE, candidates=both.inputs_of("data", X), refits=0, k=1)
    np.testing.assert_allclose(same.candidates, X.numpy())
    np.testing.assert_allclose(same.prediction_std[-1], found.prediction_std[-1], rtol=1e-10)


def test_labels_and_masked_outputs_are_counted_as_they_are() -> None:
    labels = torch.tensor([0, 1, 1, 0, 1, 0, 0, 1])
    net = mlp(1, 2)
    found = hs.identify(
        hs.EmpiricalRisk(net, torch.nn.CrossEntropyLoss(), (X, labels)),
        prior_precision=1.0,
        refits=0,
        budget=2,
    )
    assert found.summary()["measurements"] == 8
    assert repr(found).startswith("Identification(8 samples determine")
    seen = torch.tensor([1.0, 0.0], dtype=torch.float64)
    masked = hs.EmpiricalRisk(
        net,
        lambda f, y: (seen * (f - y) ** 2).sum(),
        (X, torch.zeros(8, 2).double()),
        reduction="sum",
    )
    counts = hs.identify(masked, noise=1.0, prior_precision=1.0, refits=0, budget=2).summary()
    assert counts["measurements"] == 8


def test_figures_of_outputs_in_different_units_are_not_added() -> None:
    """u in mm and T in K: one figure for each before, and in units of the noise after."""
    model = Scalars(lambda x, p: torch.cat([p["a"] + p["b"] * x, p["c"] * x], dim=1), a=1, b=2, c=3)
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (X, model(X).detach()))
    units = {"u": "mm", "T": "K"}
    found = hs.identify(risk, noise=NOISE, outputs=units, candidates=X[1:], refits=0, k=1)
    (table,) = (t for t in found.findings.tables if t.title == "Where to measure next")
    u, temperature = np.sqrt((found.prediction_std**2).mean(axis=0))
    assert f"without this division u {u:.3g} mm, T {temperature:.3g} K." in table.note
    (words,) = (str(r[1]) for r in found.findings.quoted[0].rows if str(r[0]).startswith("Where"))
    assert words.endswith(" times the noise of a measurement.")
    assert "mm" not in words.partition("goes from")[2]
    summary = found.summary()
    both = np.sqrt((u**2 + temperature**2) / 2) / NOISE
    assert summary["rms_std_before"] == pytest.approx(both)
    np.testing.assert_allclose(summary["predictions"]["std"], found.prediction_std)


def test_the_directions_are_in_units_that_the_note_states() -> None:
    """Columns of 1 and 1,000: shares of a half each are those of scaled parameters."""
    x = torch.cat([torch.ones(8, 1).double(), 1000 * X], dim=1)
    net = torch.nn.Linear(2, 1, bias=False).double()
    risk = hs.EmpiricalRisk(net, hs.SquaredError(), (x, net(x).detach()))

    def note(found: hs.Identification) -> str:
        (table,) = (t for t in found.findings.tables if t.title.startswith("Directions"))
        return str(table.note)

    free = hs.identify(risk, noise=NOISE, refits=0)
    assert "multiplied by the length of its column of the Jacobian" in note(free)
    np.testing.assert_allclose(free.shares.shares, 0.5, atol=1e-9)
    lengths = x.norm(dim=0).numpy()
    scaled = np.linalg.svd(x.numpy() / lengths, compute_uv=False)
    np.testing.assert_allclose(free.shares.values, NOISE / scaled[::-1], rtol=1e-9)
    assert note(hs.identify(risk, noise=NOISE, prior_precision=1.0, refits=0)) == (
        "In the units of the parameters."
    )


def test_a_model_that_is_not_at_its_minimum_is_not_believed() -> None:
    model = Scalars(lambda x, p: p["a"] + p["b"] * x, a=1.0, b=2.0)
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (X, model(X).detach() + 3.0))
    found = hs.identify(risk, noise=NOISE)
    assert not found.trust.valid
    assert found.trust.distance == pytest.approx(3.0 * 8**0.5 / NOISE, rel=1e-6)
    summary = found.summary()
    assert summary["errors_may_be_believed"] is False
    assert summary["advice"][0].startswith("Train further")
    assert not any("closer to linear" in one for one in summary["advice"])
    (words,) = (str(r[1]) for r in found.findings.quoted[0].rows if str(r[0]).startswith("May"))
    assert words.startswith("No: the minimum is 85 standard")
    assert "the minimum is 85 standard deviations away" in repr(found.trust)


def test_what_no_candidate_determines_is_said() -> None:
    model = Scalars(lambda x, p: p["b"] * p["c"] * x, b=2.0, c=3.0)
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (X, model(X).detach()))
    found = hs.identify(risk, noise=NOISE, refits=0)
    assert found.summary()["advice"][0] == (
        "To determine b: fix one of b, c at a known value, or give a prior_precision; no candidate "
        "of the measurements determines it."
    )
    assert found.csv["combinations"]["combination"] == ["b c"]
    few = hs.EmpiricalRisk(
        Scalars(lambda x, p: p["a"] + p["b"] * x, a=1.0, b=2.0), hs.SquaredError(), (X[3:4], X[3:4])
    )
    other = hs.identify(few, noise=NOISE, candidates=X, refits=0).summary()["advice"][1]
    assert "measure where information_gain is infinite" in other


def test_the_budget_of_refits_is_kept_and_named() -> None:
    model = Scalars(lambda x, p: torch.exp(p["a"] * x), a=0.5)
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (X, model(X).detach()))
    found = hs.identify(risk, noise=1, budget=5)
    assert found.refits_exhausted
    assert found.refit_steps <= 5
    assert found.summary()["errors_may_be_believed"] is False
    assert any("larger budget than 5" in one for one in found.summary()["advice"])
    free = hs.identify(risk, noise=1)
    assert 5 < free.refit_steps <= 300
    assert not free.refits_exhausted


def test_default_candidates_have_the_shape_and_kind_of_the_data() -> None:
    """Vectors stay vectors, labels stay labels, and one place is one candidate."""
    t = X[:, 0]

    class Vector(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.k = torch.nn.Parameter(torch.tensor(1.5, dtype=torch.float64))

        def forward(self, t: torch.Tensor) -> torch.Tensor:
            assert t.dim() == 1
            return self.k * t

    flat = hs.identify(hs.EmpiricalRisk(Vector(), hs.SquaredError(), (t, t)), noise=NOISE, refits=0)
    assert flat.candidates.shape == (101, 1)
    scale = NOISE / float(t.norm())
    np.testing.assert_allclose(
        flat.prediction_std[:, 0], scale * np.linspace(0, 1, 101), atol=1e-12
    )
    label = torch.tensor([0, 2, 1, 0, 2])
    table = torch.nn.Embedding(3, 1).double()
    y = torch.arange(5.0, dtype=torch.float64)[:, None]
    found = hs.identify(
        hs.EmpiricalRisk(table, hs.SquaredError(), (label, y)), noise=NOISE, refits=0
    )
    assert found.candidates[:, 0].tolist() == [0, 1, 2]
    np.testing.assert_allclose(found.prediction_std[:, 0], NOISE / np.sqrt([2, 1, 2]))
    model = Scalars(lambda x, p: p["a"] * x, a=1.0)
    one = hs.identify(
        hs.EmpiricalRisk(model, hs.SquaredError(), (X[3:4], X[3:4])), noise=NOISE, k=3
    )
    assert one.candidates.tolist() == [[float(X[3])]]
    assert one.gains == pytest.approx([np.log(2) / 2])


def test_a_lone_name_is_not_a_list_of_letters() -> None:
    with pytest.raises(ValueError, match="names: 'ab'; a non-empty list"):
        hs.identify(line(), names="ab", noise=NOISE)


def test_a_direction_that_may_not_be_believed_has_the_name_of_its_largest_parameter() -> None:
    model = Scalars(lambda x, p: p["a"] + p["b"] * x, a=1.0, b=2.0)
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (X, model(X).detach()))
    post = hs.GaussNewtonPosterior(risk, noise=NOISE, prior_precision=4.0)
    seen: list[tuple[int, int, str]] = []
    found = post.trust_radius(["a"], k=2, random=0, progress=lambda *told: seen.append(told))
    design = np.c_[np.ones(8), X.numpy()]
    vectors = np.linalg.eigh(design.T @ design)[1]
    names = [f"{'ab'[at]} {100 * share:.0f} %" for at, share in
             zip((vectors**2).argmax(axis=0), (vectors**2).max(axis=0), strict=True)]  # fmt: skip
    assert found.labels == ("a", f"direction 1 [{names[0]}]", f"direction 2 [{names[1]}]")
    assert seen == [(1, 3, "directions"), (2, 3, "directions"), (3, 3, "directions")]


def test_symbols_of_outputs_keep_their_case_and_only_measured_ones_count(tmp_path: Path) -> None:
    model = Scalars(lambda x, p: torch.cat([p["a"] + p["b"] * x, p["c"] * x], dim=1), a=1, b=2, c=3)
    seen = torch.tensor([1.0, 0.0], dtype=torch.float64)
    y = model(X).detach()
    risk = hs.EmpiricalRisk(
        model, lambda f, t: (seen * (f - t) ** 2).sum(), (X, y), reduction="sum"
    )
    found = hs.identify(risk, noise=NOISE, outputs=["u", "T"], refits=0, k=1)
    words = {str(row[0]): str(row[1]) for row in found.findings.quoted[0].rows}
    assert words["What about predictions?"].startswith("u has a standard deviation of ")
    assert "undetermined at 100 of 101 candidates" in words["What about predictions?"]
    assert "of the outputs that are measured goes from" in words["Where to measure next?"]
    assert found.findings.charts[0].title.startswith("u: model, band")
    # noises as a tensor are written as numbers
    both = hs.EmpiricalRisk(model, hs.SquaredError(), (X, y))
    noise = torch.tensor([0.5, 2.0], dtype=torch.float64)
    page = hs.identify(both, noise=noise, refits=0, k=1).report(tmp_path / "page")
    assert page.exists()
