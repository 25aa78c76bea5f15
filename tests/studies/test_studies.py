"""Every experiment in miniature, with results that must turn its verdicts."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from hessium.figures.records import Findings
from hessium.runs.experiment import Experiment, Result
from hessium.studies import linearization, rank_vs_duplicates, rank_vs_samples, real_data
from hessium.studies.edge_of_stability import EdgeConfig, Method
from hessium.studies.linearization import LinearizationConfig
from hessium.studies.rank_vs_duplicates import DuplicateConfig
from hessium.studies.rank_vs_samples.compute import RankConfig, tasks
from hessium.studies.real_data import DigitsConfig
from hessium.studies.registry import REGISTRY
from hessium.studies.trust_region.compute import TrustRegionConfig, solution
from support.verdicts import require_told

SMALL: dict[str, Any] = {
    "rank-vs-samples": RankConfig(sizes=(1, 3, 7), seeds=(2,)),
    "rank-vs-duplicates": DuplicateConfig(
        copies=(1, 8), shifts=(1e-5, 1e-4, 1e-3, 1e-2, 1e-1), seeds=(2,)
    ),
    "linearization": LinearizationConfig(widths=(10, 20), seeds=(2, 23), ftol=1e-4),
    "trust-region": TrustRegionConfig(
        widths=(1, 4, 1), cells=10, seeds=(2,), max_iterations=60, looks=4
    ),
    "real-data": DigitsConfig(hidden=3, training=60, seeds=(0, 1), max_iterations=5),
    "edge-of-stability": EdgeConfig(
        methods=(
            Method(name="gradient descent", kind="SGD", lr=0.4, steps=8),
            Method(name="SGD", kind="SGD", lr=0.4, batch=10, steps=8),
        ),
        images=20,
        hidden=3,
        records=4,
    ),
}
FAST = ["rank-vs-samples", "rank-vs-duplicates", "linearization"]
_CACHE: dict[str, list[Result]] = {}


def results(name: str) -> list[Result]:
    """Computed once for all tests of this file."""
    if name not in _CACHE:
        experiment = REGISTRY[name]
        _CACHE[name] = [experiment.compute(task) for task in experiment.tasks(SMALL[name])]
    return _CACHE[name]


def verdicts(findings: Findings) -> dict[str, str]:
    return {s.claim: s.verdict for s in findings.statements}


def verdict(findings: Findings, words: str) -> str:
    (found,) = [v for claim, v in verdicts(findings).items() if words in claim]
    return found


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in SMALL],
)
def test_every_experiment_runs_and_is_worded(name: str) -> None:
    experiment: Experiment[Any] = REGISTRY[name]
    findings, arrays = experiment.summarise(SMALL[name], results(name))
    assert findings.statements
    assert findings.charts
    assert findings.tables
    assert all(isinstance(value, np.ndarray) for value in arrays.values())
    require_told(findings)
    for statement in findings.statements:
        assert any(character.isdigit() for character in statement.evidence)


def test_presets_share_their_names_and_quick_is_smaller() -> None:
    for experiment in REGISTRY:
        assert set(experiment.presets) == {"quick", "paper"}
        quick, paper = (experiment.tasks(experiment.config(p)) for p in ("quick", "paper"))
        assert len(quick) <= len(paper)
        assert experiment.seeds(experiment.config("quick"))


def test_rank_equals_samples_after_training_but_not_at_the_start() -> None:
    config = SMALL["rank-vs-samples"]
    findings, arrays = rank_vs_samples.summarise(config, results("rank-vs-samples"))
    np.testing.assert_array_equal(arrays["rank_hessian_end"][:, :2], [[1, 3]])
    assert (arrays["rank_hessian_start"][:, 0] > 50).all()
    assert (arrays["negative_hessian_start"][:, 0] > 50).all()
    assert verdict(findings, "exact Hessian after training") == "holds"
    assert verdict(findings, "exact Hessian at initialisation") == "does not hold"
    assert verdict(findings, "rank(H₀) ≤ |I|") == "holds"
    assert verdict(findings, "Gram") == "holds"


def test_wrong_spectra_turn_the_verdicts() -> None:
    config = SMALL["rank-vs-samples"]
    changed: list[Mapping[str, Any]] = [
        {**r, "end_hessian": r["start_hessian"], "end_gram": 2 * r["end_gram"] + 1}
        for r in results("rank-vs-samples")
    ]
    findings, _ = rank_vs_samples.summarise(config, changed)
    claims = ("up to 5 samples", "stays at 5 to 7", "published", "exact Hessian after", "Gram")
    for claim in claims:
        assert verdict(findings, claim) == "does not hold", claim


def test_what_was_not_run_is_not_tested() -> None:
    config = RankConfig(sizes=(1, 3), seeds=(2,))
    sizes = [t["samples"] for t in tasks(SMALL["rank-vs-samples"])]
    kept = [r for n, r in zip(sizes, results("rank-vs-samples"), strict=True) if n <= 3]
    findings, _ = rank_vs_samples.summarise(config, kept)
    assert verdict(findings, "From 6 samples") == "not tested"


def test_copies_keep_the_rank_and_new_points_raise_it() -> None:
    config = SMALL["rank-vs-duplicates"]
    findings, arrays = rank_vs_duplicates.summarise(config, results("rank-vs-duplicates"))
    assert (arrays["rank_hessian_copies"] == 3).all()
    assert (arrays["rank_hessian_distinct"][:, -1] > 3).all()
    assert verdict(findings, "Exact copies") == "holds"
    assert verdict(findings, "different samples do raise") == "holds"
    swapped = _swap_kinds(results("rank-vs-duplicates"), config)
    findings, _ = rank_vs_duplicates.summarise(config, swapped)
    assert verdict(findings, "Exact copies") == "does not hold"
    assert verdict(findings, "different samples do raise") == "does not hold"


def _swap_kinds(of: Sequence[Result], config: DuplicateConfig) -> list[Result]:
    n = len(config.copies) * len(config.seeds)
    return [*of[n : 2 * n], *of[:n], *of[2 * n :]]


def test_linearization_says_where_it_holds() -> None:
    config = SMALL["linearization"]
    findings, _ = linearization.summarise(config, results("linearization"))
    assert verdict(findings, "Taylor") == "does not hold"
    close = [{**r, "error": 0.01} for r in results("linearization")]
    findings, _ = linearization.summarise(config, close)
    assert verdict(findings, "Taylor") == "holds"
    (statement,) = [s for s in findings.statements if "Taylor" in s.claim]
    assert "holds from width 10 on" in statement.evidence


@pytest.mark.slow
def test_optimisers_lower_the_loss_and_counts_turn_the_verdicts() -> None:
    config, found = SMALL["trust-region"], results("trust-region")
    noisy = {"residual of the equation, noise"}  # fitted to a minimum above zero
    for task, run in zip(REGISTRY["trust-region"].tasks(config), found, strict=True):
        assert run["loss"][-1] < (1.0 if task["kind"] in noisy else 0.1) * run["loss"][0]
        assert (run["positive"] + run["negative"] <= run["parameters"]).all()
        assert np.isnan(run["to_newton"][-1])  # no step follows the last look
        assert (np.abs(run["to_gradient"][:-1]) <= 1 + 1e-12).all()
    raw, _ = REGISTRY["trust-region"].summarise(config, [{**r, "converged": 0} for r in found])
    for words in ("than BFGS", "to speak of", "more negative", "At most 35", "direct fit"):
        assert verdict(raw, words) == "not tested"
    found = [{**r, "converged": 1} for r in found]
    few = [{**r, "negative": 0 * r["negative"]} for r in found]
    findings, _ = REGISTRY["trust-region"].summarise(config, few)
    assert verdict(findings, "negative eigenvalues to speak of") == "holds"
    assert verdict(findings, "At most 35 directions") == "holds"
    full = [{**r, "negative": r["negative"] + 5, "positive": r["positive"] + 40} for r in found]
    findings, _ = REGISTRY["trust-region"].summarise(config, full)
    assert verdict(findings, "negative eigenvalues to speak of") == "does not hold"
    assert verdict(findings, "At most 35 directions") == "does not hold"


def test_the_solver_of_the_equation_is_right() -> None:
    # kappa = 1: u = 5 x (1 - x), which central differences reproduce
    u = solution(torch.ones(21, dtype=torch.float64)).numpy()
    x = np.arange(1, 21) / 21
    np.testing.assert_allclose(u, 5 * x * (1 - x), rtol=1e-12)
    kappa = torch.linspace(1, 3, 11, dtype=torch.float64).square()
    matrix = torch.diag(kappa[:-1] + kappa[1:])
    matrix = matrix - torch.diag(kappa[1:-1], 1) - torch.diag(kappa[1:-1], -1)
    dense = torch.linalg.solve(matrix * 11**2, torch.full((10,), 10.0, dtype=torch.float64))
    np.testing.assert_allclose(solution(kappa).numpy(), dense.numpy(), rtol=1e-12)


def test_digits_are_split_and_learned() -> None:
    (x, y), (test_x, test_y) = real_data.split(1200, 0)
    assert x.shape == (1200, 64)
    assert len(y) + len(test_y) == len(x) + len(test_x) == 1797
    assert float(x.min()) == 0.0
    assert float(x.max()) == 1.0
    found = results("real-data")
    assert all(r["loss"] < r["loss_start"] for r in found)
    # softmax is blind to a constant: one null direction for each hidden unit and the bias
    for result in found:
        scale = np.abs(result["end_gauss_newton"]).max()
        assert (np.abs(result["end_gauss_newton"]) < 1e-12 * scale).sum() >= 4
