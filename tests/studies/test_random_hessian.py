"""Random Hessians in miniature: what is sampled, and that wrong laws turn the verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from hessium.figures.records import Findings
from hessium.runs.experiment import Experiment, Result
from hessium.studies.published import column_table
from hessium.studies.random_hessian import critical, fig1, index
from hessium.studies.random_hessian.agreement import Agreement, extrapolated
from hessium.studies.random_hessian.critical import CriticalConfig
from hessium.studies.random_hessian.fig1 import Fig1Config
from hessium.studies.random_hessian.index import IndexConfig
from hessium.studies.random_hessian.printed import printed, reference
from hessium.studies.random_hessian.sampling import parts
from hessium.theory import critical_energy, index_coefficient, relu_residual
from support.verdicts import require_told

SMALL: dict[str, tuple[Experiment[Any], Any]] = {
    "fig1": (
        fig1.EXPERIMENT,
        Fig1Config(energies=(0.0, 0.1), ratios=(0.75,), sizes=(60, 120), seeds=tuple(range(10))),
    ),
    "index": (
        index.EXPERIMENT,
        IndexConfig(indices=(0.1, 0.3), ratios=(0.25,), sizes=(48, 96), seeds=tuple(range(6))),
    ),
    "critical": (
        critical.EXPERIMENT,
        CriticalConfig(sampled=(0.25,), sizes=(48, 96, 192), seeds=tuple(range(6))),
    ),
}
_CACHE: dict[str, list[Result]] = {}
_FOUND: dict[str, Findings] = {}


def results(name: str) -> list[Result]:
    if name not in _CACHE:
        experiment, config = SMALL[name]
        _CACHE[name] = [experiment.compute(task) for task in experiment.tasks(config)]
    return _CACHE[name]


def found(name: str, changed: Sequence[Result] | None = None) -> Findings:
    experiment, config = SMALL[name]
    if changed is not None:
        return experiment.summarise(config, changed)[0]
    if name not in _FOUND:
        _FOUND[name] = experiment.summarise(config, results(name))[0]
    return _FOUND[name]


def verdict(findings: Findings, words: str) -> str:
    (statement,) = [s for s in findings.statements if words in s.claim]
    return statement.verdict


@pytest.mark.parametrize("name", SMALL)
def test_charts_and_words(name: str) -> None:
    findings = found(name)
    for chart in findings.charts:
        assert chart.x_label
        assert chart.y_label
    require_told(findings)
    for statement in findings.statements:
        assert any(character.isdigit() for character in statement.evidence)
    assert any("n → ∞" in note for note in findings.notes)


def test_matrices_have_the_stated_parts() -> None:
    rng = np.random.default_rng(0)
    first, second = parts({"ratio": 0.5, "activation": "relu"}, 400, rng)
    assert np.trace(first) / 400 == pytest.approx(1, abs=0.02)
    assert first.shape == second.shape == (400, 400)
    # mean square of the residual spectrum: energy * ratio / 2
    assert (second**2).sum() / 400 == pytest.approx(relu_residual(1.0, 0.5).var(), rel=0.05)
    _, second = parts({"ratio": 0.5, "activation": "linear"}, 400, rng)
    assert (second**2).sum() / 400 == pytest.approx(2.0, rel=0.05)


def test_figure_one_and_what_turns_it() -> None:
    findings = found("fig1")
    claims = ("Sampled spectra", "lower edges", "upper edges", "mass below zero")
    for claim in claims:
        assert verdict(findings, claim) == "holds", claim
    shifted = [{k: v - 0.8 for k, v in r.items()} for r in results("fig1")]
    for claim in claims:
        assert verdict(found("fig1", shifted), claim) == "does not hold", claim


def test_index_and_what_turns_it() -> None:
    findings = found("index")
    assert verdict(findings, "power 3/2") == "holds"
    assert verdict(findings, "have the exact index") == "holds"
    assert verdict(findings, "of the 3/2 law") == "does not hold"
    fewer = [{"negatives": 0.7 * r["negatives"]} for r in results("index")]
    assert verdict(found("index", fewer), "have the exact index") == "does not hold"


def test_three_half_law_ends_where_the_page_says() -> None:
    (case,) = [c for c in index._cases(SMALL["index"][1]) if c.activation == "linear"][:1]
    at = case.leaves()
    exact = float(case.exact(np.array(at)))
    assert exact == pytest.approx(0.9 * index_coefficient(0.25) * at**1.5, rel=1e-6)
    assert 0.1 < at < 0.2


def test_critical_energies_and_what_turns_them() -> None:
    findings = found("critical")
    assert verdict(findings, "closed forms are") == "holds"
    assert verdict(findings, "published values") == "holds"
    assert verdict(findings, "ten digits") == "does not hold"
    assert verdict(findings, "sampled matrices") == "holds"
    wrong = [{"energy": 1.5 * r["energy"]} for r in results("critical")]
    assert verdict(found("critical", wrong), "closed forms are") == "does not hold"
    spread = [{"energy": r["energy"] + 0.5} for r in results("critical")]
    assert verdict(found("critical", spread), "sampled matrices") == "does not hold"


def test_smallest_eigenvalue_is_zero_at_the_energy_of_a_draw() -> None:
    task = {"activation": "relu", "ratio": 0.25, "seed": 3, "sizes": [40]}
    energy = critical.EXPERIMENT.compute(task)["energy"][0]
    first, second = parts(task, 40, np.random.default_rng([3, 4, 250000]))
    least = np.linalg.eigvalsh(first + np.sqrt(energy) * second)[0]
    assert least == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("activation", ["linear", "relu"])
def test_printed_formulas(activation: Any) -> None:
    assert printed(0.25, activation) == pytest.approx(float(critical_energy(0.25, activation)))
    assert reference(0.9999, activation) == pytest.approx(
        float(critical_energy(0.9999, activation)), rel=1e-14
    )
    assert printed(0.9999, activation) != pytest.approx(
        float(critical_energy(0.9999, activation)), rel=1e-3, abs=0
    )


def test_published_table() -> None:
    table = column_table("pb_critical_energy")
    for model in ("linear", "relu"):
        np.testing.assert_allclose(
            critical_energy(table["ratio"], model), table[f"critical_energy_{model}"], atol=6e-11
        )
        np.testing.assert_allclose(
            index_coefficient(table["ratio"], model), table[f"index_coefficient_{model}"], atol=6e-9
        )


def test_extrapolation_and_false_alarms() -> None:
    # false-alarm rate 1e-3 a run: of 2000 runs 2 expected, more than 12 has probability 2e-6
    rng, sizes = np.random.default_rng(0), (10, 20)
    alarms = misses = 0
    for _ in range(2000):
        noise = rng.standard_normal((8, 2, 5)) / np.array(sizes)[None, :, None]
        samples = 3.0 + 0.7 / np.array(sizes)[None, :, None] + noise
        alarms += not extrapolated(samples, sizes, 1.0, np.full(5, 3.0)).holds
        misses += extrapolated(samples, sizes, 1.0, np.full(5, 3.5)).holds
    assert alarms <= 12
    assert misses < 1000
    lone = Agreement(
        estimate=np.array([1.0]), stderr=np.array([0.1]), theory=np.array([0.9]), draws=4
    )
    assert lone.z == pytest.approx(1.0)
