"""Spectral measures: both errors tell the truth, and what would lie fails the same tests.

Tests of coverage use 400 fixed seeds. An interval that covers with probability 0.95 exactly lands
outside of 93 to 97 % in 6 % of such experiments; one that covers 0.90 passes in 2 %.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import hessium as hs
from hessium._typing import FloatArray
from hessium.errors import ConvergenceWarning, InputError, NonFiniteError
from hessium.estimate import lanczos_probes
from hessium.estimate.deflation import Deflation
from hessium.linalg import SymmetricOperator, vectors
from hessium.spectra import Spectrum
from hessium.spectra.smoothing import gaussian_kernel, smoothed
from support.chosen_spectra import SPECTRA, Counted, Diagonal, with_eigenvalues
from support.risk_cases import classes, draw, mlp

SEEDS = 400


@functools.cache
def network(kind: str, *widths: int) -> tuple[Tensor, np.ndarray]:
    """A dense curvature matrix of a small network, and its eigenvalues."""
    x, labels = draw(40, widths[0]), classes(40, high=widths[-1])
    model = mlp(*widths)
    if kind == "H":
        operator: SymmetricOperator = hs.Hessian(
            hs.EmpiricalRisk(model, nn.CrossEntropyLoss(), (x, labels))
        )
    else:
        risk = hs.EmpiricalRisk(model, nn.MSELoss(), (x, draw(40, widths[-1], seed=3)))
        operator = {"H0": hs.GaussNewton, "H1": hs.ResidualHessian}[kind](risk)
    matrix = operator.dense()
    return matrix, np.linalg.eigvalsh(matrix)


def gap_near(values: np.ndarray, fraction: float) -> float:
    """A point in the widest gap near a quantile: no eigenvalue is within rounding of it."""
    values = values[np.abs(values) > 1e-9 * np.abs(values).max()]  # a null space is all rounding
    at = int(fraction * values.size)
    window = values[max(0, at - 3) : at + 5]
    widest = int(np.diff(window).argmax())
    return float((window[widest] + window[widest + 1]) / 2)


@functools.cache
def sampled(kind: str, *widths: int, probes: int, steps: int) -> list[Spectrum]:
    """One estimate for each seed: several tests ask the same ones."""
    matrix, _ = network(kind, *widths)
    return [hs.spectral_measure(matrix, probes, steps, rng=seed) for seed in range(SEEDS)]


def shares(hits: list[list[bool]]) -> np.ndarray:
    return np.array(hits).mean(axis=0)


def check_coverage(estimates: list[Spectrum], values: np.ndarray) -> None:
    """All steps, so that only the draw of the probes is left: 93 to 97 %."""
    points = np.array([gap_near(values, f) for f in (0.3, 0.6, 0.9)])
    truth = np.searchsorted(values, points)
    band, counts = [], []
    for estimate in estimates:
        found = estimate.cdf_band(points)
        lower, upper = found.lower * values.size, found.upper * values.size
        band.append(((lower <= truth) & (truth <= upper)).tolist())
        bracket = estimate.count(-np.inf, points[-1])
        counts.append([bool(bracket.lower <= truth[-1] <= bracket.upper)])
    assert ((shares(band) >= 0.93) & (shares(band) <= 0.97)).all(), shares(band)
    # an integer inside of the band is inside of the bracket; one outside may be too
    assert shares(counts)[0] >= shares(band)[-1], shares(counts)


def test_intervals_cover_what_they_say() -> None:
    _, values = network("H", 2, 3, 2)
    check_coverage(sampled("H", 2, 3, 2, probes=2, steps=17), values)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["H", "H0", "H1"])
def test_intervals_cover_what_they_say_for_three_hundred_parameters(kind: str) -> None:
    _, values = network(kind, 8, 16, 8, 3)
    assert values.size == 307
    check_coverage(sampled(kind, 8, 16, 8, 3, probes=2, steps=307), values)


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=pytest.mark.slow) for kind in ("H", "H0", "H1")],
)
def test_standard_errors_of_the_trace_cover_what_they_say(kind: str) -> None:
    """Ten probes: with fewer, a sum that two or three eigenvalues dominate is not normal."""
    _, values = network(kind, 8, 16, 8, 3)
    hits = 0
    # two steps integrate x and x^2 exactly
    for estimate in sampled(kind, 8, 16, 8, 3, probes=10, steps=2):
        mean, error = estimate.integral(lambda x: x)
        hits += abs(mean - values.mean()) <= 1.96 * error
    assert 0.93 <= hits / SEEDS <= 0.97


def test_a_biased_probe_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Control: probes with entries of one sign lean towards one direction."""
    drawn = vectors.gaussian_share
    monkeypatch.setattr(lanczos_probes, "gaussian_share", lambda op, rng: drawn(op, rng).abs())
    matrix, values = network("H", 2, 3, 2)
    biased = [hs.spectral_measure(matrix, 2, 17, rng=seed) for seed in range(100)]
    with pytest.raises(AssertionError):
        check_coverage(biased, values)


def test_a_dropped_atom_fails() -> None:
    """Control: one deflated eigenvalue is not put back."""
    matrix, values = network("H", 3, 4, 2)
    largest = hs.eigenpairs(matrix, 3)
    x = float(np.abs(largest.values).min()) * 0.999
    above = int((values > x).sum())
    honest, lying = 0, 0
    for seed in range(50):
        estimate = hs.spectral_measure(matrix, 4, 10, deflate=largest, rng=seed)
        dropped = Spectrum.from_rules(
            estimate.rules, estimate.known[:-1], dim=estimate.dim - 1, resolution=0.0, num_matvecs=0
        )
        brackets = [e.count(x, np.inf) for e in (estimate, dropped)]
        honest += brackets[0].lower <= above <= brackets[0].upper
        lying += brackets[1].lower <= above <= brackets[1].upper
    assert honest == 50
    assert lying == 0


def test_the_normal_approximation_fails_where_one_eigenvalue_is_counted() -> None:
    """Control: mean +- 1.96 times the scatter of two probes, against the exact law."""
    _, values = network("H", 2, 3, 2)
    x, n = float(values[-2:].mean()), values.size
    exact, normal = 0, 0
    for estimate in sampled("H", 2, 3, 2, probes=2, steps=17):
        bracket = estimate.count(x, np.inf)
        exact += bracket.lower <= 1 <= bracket.upper
        rules = [rule.gauss() for rule in estimate.rules]
        parts = np.array([n * weights[nodes > x].sum() for nodes, weights in rules])
        half = 1.96 * parts.std(ddof=1) / 2**0.5
        normal += bool(abs(parts.mean() - 1) <= half)
    assert exact >= 0.95 * SEEDS
    assert normal < 0.90 * SEEDS


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["H", "H0"])
def test_counts_with_few_steps_cover_more_than_they_say(kind: str) -> None:
    _, values = network(kind, 3, 8, 3)
    points = [0.0, gap_near(values, 0.8)]
    hits = []
    for estimate in sampled(kind, 3, 8, 3, probes=3, steps=8):
        found = [estimate.count(x, np.inf) for x in points]
        # at zero itself rounding decides of a null space: both truths are allowed for
        loose = [(values > x - 1e-12).sum() >= c.lower for x, c in zip(points, found, strict=True)]
        tight = [(values > x + 1e-12).sum() <= c.upper for x, c in zip(points, found, strict=True)]
        hits.append([bool(a and b) for a, b in zip(loose, tight, strict=True)])
        assert all(c.lower <= c.value <= c.upper for c in found)
    assert (shares(hits) >= 0.95).all()


@given(
    name=st.sampled_from(sorted(SPECTRA)),
    n=st.integers(1, 30),
    probes=st.integers(1, 60),
    deflate=st.integers(0, 30),
    confidence=st.sampled_from([0.01, 0.5, 0.95, 0.9999]),
    seed=st.integers(0, 1000),
)
def test_brackets_are_always_brackets(
    name: str, n: int, probes: int, deflate: int, confidence: float, seed: int
) -> None:
    values = SPECTRA[name](n, np.random.default_rng(seed))
    measure = hs.spectral_measure(
        with_eigenvalues(values), min(probes, 6), 10, deflate=deflate, rng=seed
    )
    # many probes of the same law, without the work
    many = Spectrum.from_rules(
        measure.rules * (1 + probes // measure.probes), measure.known,
        dim=n, resolution=measure.resolution, num_matvecs=0,
    )  # fmt: skip
    assert measure.weights.sum() == pytest.approx(1.0)
    middle = float(np.median(values))
    far = 10 * float(np.abs(values).max()) + 1
    for estimate in (measure, many):
        for a, b in [(-np.inf, middle), (middle, np.inf), (middle - 0.1, middle + 0.1)]:
            found = estimate.count(a, b, confidence=confidence)
            assert 0 <= found.lower <= found.value <= found.upper <= n
        whole = [
            estimate.count(a, b, confidence=confidence) for a, b in [(-far, far), (-np.inf, np.inf)]
        ]
        assert [(c.lower, c.upper) for c in whole] == [(n, n), (n, n)]
        assert estimate.count(far, np.inf, confidence=confidence).upper == 0
        band = estimate.cdf_band(np.linspace(-far, far, 7), confidence=confidence)
        assert (band.lower <= band.upper).all()
        assert (band.algorithmic >= 0).all()


@pytest.mark.parametrize("deflate", [1, 5, 12])
def test_what_is_deflated_is_counted_exactly(deflate: int) -> None:
    values = np.concatenate([np.linspace(-1, 1, 100), [3.0, 4.0, -5.0, 6.0, 7.0]])
    estimate = hs.spectral_measure(with_eigenvalues(values), 4, 60, deflate=deflate)
    assert estimate.known.size == deflate
    found = estimate.count(6.5, np.inf, confidence=0.9999)
    assert (found.lower, found.upper) == (1, 1)
    # at an eigenvalue itself its side is open, as the resolution says
    at = float(estimate.known[0])
    band = estimate.cdf_band([at])
    below = [(values <= at - 1e-9).sum() / 105, (values <= at + 1e-9).sum() / 105]
    assert band.lower[0] <= below[0] + 1e-6
    assert band.upper[0] >= below[1] - 1e-6


@pytest.mark.slow
def test_deflation_reduces_the_error_at_equal_products_and_stays_unbiased() -> None:
    matrix, values = network("H0", 8, 16, 8, 3)
    plain, deflated = [], []
    largest = hs.eigenpairs(matrix, 10)
    spent = round(largest.num_matvecs / 15)  # probes that the eigenpairs cost
    for seed in range(30):
        plain.append(hs.spectral_measure(matrix, 6 + spent, 15, rng=seed).integral(lambda x: x))
        deflated.append(
            hs.spectral_measure(matrix, 6, 15, deflate=largest, rng=seed).integral(lambda x: x)
        )
    errors = [np.array([m - values.mean() for m, _ in runs]) for runs in (plain, deflated)]
    told = [np.array([error for _, error in runs]) for runs in (plain, deflated)]
    # false alarm 1e-4 each: the mean of 30 is within 4.4 standard errors of zero
    for error in errors:
        assert abs(error.mean()) < 4.4 * error.std(ddof=1) / 30**0.5
    assert np.sqrt((errors[1] ** 2).mean()) < 0.5 * np.sqrt((errors[0] ** 2).mean())
    # the standard error says so too; of 30 draws a root mean square has 13 % itself
    for error, said in zip(errors, told, strict=True):
        assert np.sqrt((error**2).mean()) == pytest.approx(said.mean(), rel=0.4)


def rotated(pairs: hs.Eigenpairs, matrix: Tensor, size: float, seed: int) -> hs.Eigenpairs:
    """Eigenpairs that are wrong by about `size`, Ritz pairs of the space that they span."""
    noise = torch.randn(pairs.vectors.shape, generator=torch.Generator().manual_seed(seed))
    basis, _ = torch.linalg.qr(pairs.vectors + size * noise.double())
    values, turn = torch.linalg.eigh(basis.mT @ matrix @ basis)
    vectors = basis @ turn
    residuals = (matrix @ vectors - vectors * values).norm(dim=0).numpy()
    return dataclasses.replace(pairs, values=values.numpy(), vectors=vectors, residuals=residuals)


@pytest.mark.sampled
@pytest.mark.parametrize("size", [1e-8, 1e-5, 1e-3, 1e-2])
@pytest.mark.parametrize("low", [1.1, 2.0, 8.0])
def test_the_resolution_holds_what_residuals_of_deflated_pairs_can_do(
    size: float, low: float
) -> None:
    # a semicircle: a norm of twice what the tridiagonal matrices have as entries
    bulk = np.cos(np.pi * (np.arange(120) + 0.5) / 120)
    outliers = np.array([low, low + 0.5, -low - 0.2])
    matrix = with_eigenvalues(np.concatenate([bulk, outliers]))
    exact = np.linalg.eigvalsh(matrix)
    pairs = hs.eigenpairs(matrix, 3)
    for seed in range(5):
        wrong = rotated(pairs, matrix, size, seed)
        estimate = hs.spectral_measure(matrix, 2, 40, deflate=wrong, rng=seed)
        P = torch.eye(123).double() - wrong.vectors @ wrong.vectors.mT
        rest = np.linalg.eigvalsh(P @ matrix @ P)
        rest = np.delete(rest, np.argsort(np.abs(rest))[:3])  # the directions taken out
        moved = np.abs(np.sort(np.concatenate([rest, wrong.values])) - exact).max()
        assert moved <= estimate.resolution


def test_pairs_of_another_operator_are_not_put_back_as_exact() -> None:
    values = np.random.default_rng(1).standard_normal(80)
    pairs = hs.eigenpairs(with_eigenvalues(values), 5)
    assert hs.spectral_measure(with_eigenvalues(values), 2, 9, deflate=pairs).known.size == 5
    with pytest.raises(InputError, match="deflate"):
        hs.spectral_measure(with_eigenvalues(values * 1.001), 2, 9, deflate=pairs)
    with pytest.raises(InputError, match="deflate"):  # one sign, all residuals small
        hs.spectral_measure(-with_eigenvalues(values), 2, 9, deflate=pairs)
    with pytest.raises(InputError, match="float32"):
        hs.spectral_measure(with_eigenvalues(values).float(), 2, 9, deflate=pairs)


def test_a_proof_is_paid_once_for_all_calls_that_share_it() -> None:
    matrix = with_eigenvalues(np.random.default_rng(1).standard_normal(80))
    operator = Counted(matrix)
    pairs = hs.eigenpairs(operator, 5)

    def products(deflate: hs.Eigenpairs | Deflation) -> int:
        start = operator.products
        for seed in range(3):
            hs.spectral_measure(operator, 2, 9, deflate=deflate, rng=seed)
        return operator.products - start - 3 * (2 * 9 + 1)  # one sees how exact products are

    before = operator.products
    shared = Deflation(operator, pairs)
    assert operator.products - before == 1
    assert products(shared) == 0
    assert products(pairs) == 3
    assert products(Deflation(operator, pairs, proved=True)) == 0
    # what the count needs is computed by itself, so it has nothing to prove
    before = operator.products
    found = hs.inertia(operator, 1e-3, method="quadrature", deflate=5, probes=2, steps=9)
    assert found.method == "quadrature"
    assert operator.products - before == pairs.num_matvecs + 2 * 9 + 1
    with pytest.raises(InputError, match="deflate: Deflation"):
        hs.spectral_measure(Counted(matrix), 2, 9, deflate=shared)
    with pytest.raises(InputError, match="deflate"):
        Deflation(Counted(2 * matrix), pairs)


def test_until_reaches_what_it_says() -> None:
    matrix, values = network("H", 8, 16, 8, 3)
    products = []
    for until in (0.1, 0.04):
        estimate = hs.spectral_measure(matrix, 2, 20, until=until, rng=1)
        nodes = estimate.nodes
        grid = np.linspace(nodes[0], nodes[-1], 65)
        band = estimate.cdf_band(grid)
        assert (band.upper - band.lower).mean() / 2 <= until * 1.05
        truth = np.searchsorted(values, grid, side="right") / values.size
        assert np.abs(band.value - truth).mean() <= until
        products.append(estimate.num_matvecs)
    assert products == sorted(products)


def test_until_says_when_it_cannot() -> None:
    operator = Counted(with_eigenvalues(np.linspace(-1, 1, 200)))
    with pytest.warns(ConvergenceWarning, match="until = 0.001"):
        estimate = hs.spectral_measure(operator, 3, 2, until=1e-3)
    # eight steps leave more open than that: no number of probes would help, and none is wasted
    assert estimate.probes == 3
    assert operator.products <= 3 * 8 + 1


@pytest.mark.parametrize(("nan_at", "probes", "steps"), [(7, 1, 6), (30, 2, 20), (41, 2, 20)])
def test_a_product_that_is_not_finite_returns_what_there_was(
    nan_at: int, probes: int, steps: int
) -> None:
    matrix = with_eigenvalues(np.linspace(-1, 1, 100))
    with pytest.raises(NonFiniteError, match="in step") as caught:
        hs.spectral_measure(Counted(matrix, nan_at=nan_at), 5, 20)
    partial = caught.value.partial
    assert isinstance(partial, Spectrum)
    assert partial.probes == probes
    assert partial.num_matvecs == nan_at - 1
    assert partial.rules[0].diagonal.size == steps
    whole = hs.spectral_measure(matrix, 5, 20)
    np.testing.assert_allclose(partial.rules[0].diagonal, whole.rules[0].diagonal[:steps])


ROW = 60 * 8


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"probes": 0}, "probes"),
        ({"steps": 0}, "steps"),
        ({"deflate": -1}, "deflate"),
        ({"until": 1.5}, "until"),
        ({"until": 0.0}, "until"),
        ({"max_bytes": 60 * ROW}, "max_bytes"),
        ({"max_bytes": 50 * ROW, "deflate": 5}, "max_bytes"),
        ({"rng": -1}, "rng"),
        ({"deflate": hs.eigenpairs(torch.eye(3), 1)}, "deflate"),
    ],
)
def test_bad_arguments_are_named_before_the_first_product(
    arguments: dict[str, object], word: str
) -> None:
    operator = Counted(with_eigenvalues(np.linspace(-1, 1, 60)))
    with pytest.raises(InputError, match=word):
        hs.spectral_measure(operator, **arguments)  # type: ignore[arg-type]
    assert operator.products == 0


@pytest.mark.parametrize(
    "ask",
    [
        lambda e: e.count(1.0, 1.0),
        lambda e: e.count(np.nan, 1.0),
        lambda e: e.count(0.0, 1.0, confidence=1.0),
        lambda e: e.cdf_band([np.inf]),
        lambda e: e.cdf_band([np.nan]),
        lambda e: e.density([0.0], 0.0),
    ],
)
def test_bad_questions_are_refused(ask: Callable[[Spectrum], object]) -> None:
    estimate = hs.spectral_measure(with_eigenvalues(np.linspace(-1, 1, 20)), 2, 5)
    with pytest.raises(InputError):
        ask(estimate)


def test_seeds_precisions_and_the_world_outside() -> None:
    matrix, values = network("H", 8, 16, 8, 3)
    before = torch.get_rng_state()
    first, again = (hs.spectral_measure(matrix, 3, 20, rng=7) for _ in range(2))
    np.testing.assert_array_equal(first.nodes, again.nodes)
    np.testing.assert_array_equal(first.weights, again.weights)
    assert torch.equal(before, torch.get_rng_state())
    other = hs.spectral_measure(matrix, 3, 20, rng=8)
    assert not np.array_equal(first.nodes, other.nodes)
    # the same probes in both precisions: what differs is rounding
    single = hs.spectral_measure(matrix.float(), 3, 20, rng=7)
    x = np.linspace(values[0], values[-1], 9)
    np.testing.assert_allclose(single.cdf_band(x).value, first.cdf_band(x).value, atol=0.02)
    np.testing.assert_allclose(
        float(single.integral(lambda t: t)),
        float(first.integral(lambda t: t)),
        atol=1e-6 * values[-1],
    )
    assert single.resolution > first.resolution


def test_a_density_is_the_smoothed_spectrum_within_its_band() -> None:
    values = np.random.default_rng(1).standard_normal(300)
    estimate = hs.spectral_measure(with_eigenvalues(values), 20, 60, rng=0)
    x, width = np.linspace(-3, 3, 61), 0.2
    truth = np.exp(-(((x[:, None] - values) / width) ** 2) / 2).mean(axis=1)
    truth /= width * np.sqrt(2 * np.pi)
    band = estimate.density(x, width)
    inside = (band.lower <= truth) & (truth <= band.upper)
    assert inside.mean() > 0.8  # neighbours are not independent: no binomial law holds
    assert np.trapezoid(band.value, x) == pytest.approx(1.0, abs=0.02)
    # nodes lie closer than the kernel is wide: the probes leave more open than the rules
    assert np.median(band.algorithmic) < 0.2 * np.median(band.upper - band.value)
    atom = estimate.density(np.sinh(x), width, linear=1.0)
    assert np.trapezoid(atom.value, x) == pytest.approx(1.0, abs=0.02)


def estimates(values: FloatArray, steps: int) -> list[Spectrum]:
    operator = Diagonal(torch.as_tensor(values))
    return [hs.spectral_measure(operator, 8, steps, rng=seed) for seed in range(8)]


def band_coverage(values: FloatArray, found: list[Spectrum], linear: float) -> FloatArray:
    """How often the 95 percent band of the density holds the truth, at each of 150 points."""
    scaled = np.arcsinh(values / linear)
    t = np.linspace(scaled.min(), scaled.max(), 150)
    x = linear * np.sinh(t)
    truth = gaussian_kernel(t, scaled, np.full(values.size, 1 / values.size), 0.15)
    held = []
    for estimate in found:
        band = estimate.density(x, 0.15, linear=linear)
        held.append((band.lower <= truth) & (truth <= band.upper))
    return np.mean(held, axis=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    ["network", "gauss", "null space"],
)
def test_density_bands_hold_also_where_steps_do_not_resolve(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # on average over points and draws 95 percent or more; points are few draws each, so no test
    rng = np.random.default_rng(0)
    values = {
        "network": np.append(0.003 * rng.standard_t(3, size=780), rng.uniform(0.1, 1, 20)),
        "gauss": rng.standard_normal(800),
        "null space": np.append(np.zeros(400), np.exp(-rng.uniform(0, 12, 400))),
    }[kind]
    sixty = estimates(values, 60)
    cases = ((sixty, 0.003), (sixty, 0.02), (estimates(values, 30), 0.006))
    for found, share in cases:
        held = band_coverage(values, found, share * np.abs(values).max())
        assert held.mean() > 0.93, share
    # the control: the probes alone
    monkeypatch.setattr(
        "hessium.spectra.smoothing.smoothed",
        lambda *given: dataclasses.replace(
            smoothed(*given), lower=smoothed(*given).value, upper=smoothed(*given).value
        ),
    )
    assert band_coverage(values, sixty, 0.003 * np.abs(values).max()).mean() < 0.9


@pytest.mark.slow
def test_intervals_of_integrals_are_no_wider_than_the_law() -> None:
    """The standard error against the scatter over seeds, and against the formula itself."""
    values = np.concatenate([np.linspace(-1, 1, 60), [5.0]])
    matrix = with_eigenvalues(values)
    runs = [
        hs.spectral_measure(matrix, 3, 8, rng=seed).integral(lambda x: x) for seed in range(200)
    ]
    means, errors = (np.array(part) for part in zip(*runs, strict=True))
    law = np.sqrt(2 * values.var() / (61 * 3 + 2))
    # chi-squared with 199 degrees of freedom: false alarm 1e-3
    low, high = (float(scipy.stats.chi2.ppf(q, 199)) / 199 for q in (0.0005, 0.9995))
    assert low < means.var(ddof=1) / law**2 < high
    assert np.median(errors) == pytest.approx(law, rel=0.15)
