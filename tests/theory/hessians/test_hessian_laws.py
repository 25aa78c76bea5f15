import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hessium.errors import InputError
from hessium.theory import Law, relu_hessian, relu_residual, wishart_wigner

REFERENCE = json.loads((Path(__file__).parents[2] / "reference" / "hessian_laws.json").read_text())
LAWS: dict[str, Callable[[float, float], Law]] = {"linear": wishart_wigner, "relu": relu_hessian}


def law_of(row: dict[str, Any]) -> Law:
    return LAWS[row["model"]](row["energy"], row["ratio"])


@pytest.mark.parametrize("model", ["linear", "relu"])
def test_equals_sixty_digit_references_over_all_energies_and_ratios(model: Any) -> None:
    bulk, near, mass, edge = 0.0, 0.0, 0.0, 0.0
    for row in (row for row in REFERENCE if row["model"] == model):
        law = law_of(row)
        x, pdf, cdf = (np.array(row[key], dtype=float) for key in ("x", "pdf", "cdf"))
        is_near = np.array(row["near_edge"])
        error = np.abs(law.pdf(x) - pdf) / pdf.max()
        bulk, near = max(bulk, error[~is_near].max()), max(near, error[is_near].max())
        mass = max(mass, np.abs(law.cdf(x) - cdf).max())
        ends = np.ravel(law.support_intervals())
        exact = np.array(row["edges"], dtype=float)
        assert ends.shape == exact.shape, row
        edge = max(edge, (np.abs(ends - exact) / np.abs(exact).max()).max())
    assert bulk < 1e-12
    assert near < 1e-9
    assert mass < 1e-14
    assert edge < 1e-14


def test_the_reference_would_notice_a_wrong_ratio() -> None:
    row = next(r for r in REFERENCE if r["energy"] == 0.1 and r["ratio"] == 0.5)
    wrong = wishart_wigner(0.1, 0.5 * (1 + 1e-10))
    error = np.abs(wrong.pdf(np.array(row["x"])) - np.array(row["pdf"], dtype=float))
    assert error.max() > 1e-12


FIG1 = [  # ratio, energy, lower edge, upper edge, index: figure 1 of Pennington and Bahri
    (0.25, 0.1, -0.225729430, 2.501823623, 0.053980481),
    (0.25, 0.5, -1.193895359, 3.296260546, 0.225348712),
    (0.25, 1.0, -1.975855701, 4.032484108, 0.292611866),
    (0.5, 0.1, -0.387694746, 3.076610811, 0.113562032),
    (0.5, 0.5, -1.321453902, 3.665726227, 0.248947838),
    (0.5, 1.0, -2.083259205, 4.292572823, 0.304711407),
    (0.75, 0.1, -0.488672870, 3.604545367, 0.159065082),
    (0.75, 0.5, -1.413885222, 4.069803990, 0.268746093),
    (0.75, 1.0, -2.166136176, 4.599843946, 0.315904709),
]
PEAKS = [  # ratio, energy, peak, position
    (0.25, 0.1, 0.5003, 0.673),
    (0.25, 1.0, 0.2126, 0.921),
    (0.5, 0.1, 0.4535, 0.368),
    (0.75, 0.5, 0.2588, 0.414),
    (0.75, 1.0, 0.1975, 0.562),
    (0.25, 0.0, 0.8488, 0.450),
    (0.5, 0.0, 0.9003, 0.1667),
    (0.75, 0.0, 1.4702, 0.0357),
]


@pytest.mark.parametrize(("ratio", "energy", "low", "high", "index"), FIG1)
def test_published_edges_and_index(
    ratio: Any, energy: Any, low: Any, high: Any, index: Any
) -> None:
    law = wishart_wigner(energy, ratio)
    assert law.support() == pytest.approx((low, high), abs=1e-8)
    assert law.cdf(0) == pytest.approx(index, abs=1e-9)
    assert law.mean() == pytest.approx(1)
    assert law.var() == pytest.approx(ratio + 2 * energy)


@pytest.mark.parametrize(("ratio", "energy", "peak", "position"), PEAKS)
def test_published_peaks(ratio: Any, energy: Any, peak: Any, position: Any) -> None:
    law = wishart_wigner(energy, ratio)
    x = np.linspace(*law.support(), 20001)
    assert law.pdf(x).max() == pytest.approx(peak, abs=1e-4)
    assert x[law.pdf(x).argmax()] == pytest.approx(position, abs=2e-3)


@pytest.mark.parametrize(
    ("ratio", "energy", "index"),
    [
        (0.25, 0.7, 0.002397),
        (0.25, 1.5, 0.051036),
        (0.25, 5, 0.166200),
        (0.5, 0.7, 0.099625),
        (0.5, 1.5, 0.154018),
        (0.5, 5, 0.243986),
        (0.75, 0.7, 0.162309),
        (0.75, 1.5, 0.206034),
        (0.75, 5, 0.276074),
    ],
)
def test_published_relu_index(ratio: Any, energy: Any, index: Any) -> None:
    assert relu_hessian(energy, ratio).cdf(0) == pytest.approx(index, abs=1e-6)


def test_no_nan_no_negative_density_and_mass_one_everywhere() -> None:
    rng = np.random.default_rng(1)
    for _ in range(40):
        energy, ratio = 10 ** rng.uniform(-8, 1), 10 ** rng.uniform(-3, 2)
        for law in (wishart_wigner(energy, ratio), relu_hessian(energy, ratio)):
            low, high = law.support()
            x = np.concatenate([np.linspace(low - 1, high + 1, 300), [0, low, high, -np.inf]])
            pdf, cdf = law.pdf(x), law.cdf(np.sort(x))
            assert np.isfinite(pdf).all()
            assert (pdf >= 0).all()
            assert (np.diff(cdf) >= -1e-15).all()
            total = sum(law.atoms.values())
            for a, b in law.support_intervals():
                inner = np.array([a + 1e-13 * (b - a), b - 1e-13 * (b - a)])
                total += float(np.diff(law.cdf(inner))[0])
            assert total == pytest.approx(1, abs=1e-12)


def test_residual_law_of_relu_networks() -> None:
    law = relu_residual(0.5, 0.25)
    assert law.free_cumulants(4) == pytest.approx([0, 0.5 * 0.25 / 2, 0, 0.5**2 * 0.25**3 / 4])
    assert law.pdf(0.0) == pytest.approx(np.sqrt(2 / (0.5 * 0.25 * 0.75)) / np.pi, rel=1e-13)
    g = np.array([0.3 - 0.2j])
    assert law.r_transform(g) == pytest.approx(0.5 * 0.25 * g / (2 - 0.5 * 0.25**2 * g**2))
    x = np.linspace(*law.support(), 41)[1:-1]
    G = law.stieltjes(x)
    e, p = 0.5, 0.25
    cubic = e * p**2 * x * G**3 + e * p * (1 - p) * G**2 - 2 * x * G + 2
    assert np.abs(cubic).max() < 1e-12
    assert law.pdf(-x) == pytest.approx(law.pdf(x), rel=1e-12)


@pytest.mark.parametrize("ratio", [0.999999, 1.0, 1.000001, 3.0])
def test_residual_law_at_and_above_ratio_one(ratio: Any) -> None:
    law = relu_residual(1.0, ratio)
    atom = law.atoms.get(0.0, 0.0)
    assert atom == pytest.approx(max(0, 1 - 1 / ratio), abs=1e-15)
    assert law.cdf(0.0) == pytest.approx(0.5 + atom / 2, abs=1e-12)
    assert not np.isnan(law.pdf(np.linspace(-3, 3, 101))).any()


def test_the_captions_of_figure_3_are_half_the_ratio() -> None:
    # printed 1/16 and 1/4 are n/m; the drawn curves (edges 3.73 and 8.32) need 2n/m
    for printed, edge, peak in ((1 / 16, 3.73, 0.192), (1 / 4, 8.32, 0.127)):
        law = relu_residual(50, 2 * printed)
        assert law.support()[1] == pytest.approx(edge, abs=0.01)
        x = np.linspace(-edge, edge, 4001)
        assert law.pdf(x).max() == pytest.approx(peak, abs=1e-3)
        assert abs(relu_residual(50, printed).support()[1] - edge) > 0.5


def test_gap_mass_is_exact_and_the_gap_closes_where_the_formula_says() -> None:
    law = wishart_wigner(0.01, 2.0)
    (_, a), (b, _) = law.support_intervals()
    assert float(law.cdf((a + b) / 2)) == 0.5
    gap = 2 * (2 ** (1 / 3) - 1) ** 3 / 2
    assert len(wishart_wigner(gap * (1 - 1e-9), 2.0).support_intervals()) == 2
    assert len(wishart_wigner(gap * (1 + 1e-9), 2.0).support_intervals()) == 1


def test_energy_zero_is_marchenko_pastur_with_its_atom() -> None:
    assert wishart_wigner(0, 4.0).atoms == {0.0: 0.75}
    assert relu_hessian(0, 4.0).atoms == {0.0: 0.75}


@pytest.mark.parametrize(
    ("energy", "ratio", "argument"),
    [(-1, 0.5, "energy"), (1, 0, "ratio"), (1, -2, "ratio"), (np.nan, 1, "energy")],
)
def test_bad_parameters_name_the_argument(energy: Any, ratio: Any, argument: Any) -> None:
    for make in (wishart_wigner, relu_hessian):
        with pytest.raises(InputError, match=argument):
            make(energy, ratio)
    with pytest.raises(InputError, match="energy"):
        relu_residual(0.0, 0.5)


@pytest.mark.parametrize("off", [0.0, 1e-15, 1e-12, 1e-8, 4e-5, 1e-2])
def test_jumps_that_nearly_meet(off: float) -> None:
    # at ratio^2 energy / 2 = ratio^2 a residual jump falls on the one of Marchenko-Pastur
    energy, ratio = 2.0 * (1 + off), 0.75
    law = relu_hessian(energy, ratio)
    low, high = law.support()
    assert len(law.support_intervals()) == 1
    assert float(law.cdf(0.0)) == pytest.approx(float(relu_hessian(2.02, ratio).cdf(0.0)), abs=1e-3)
    assert low < 0 < high
    assert law.residual(np.linspace(low, high, 50)).max() < 1e-12
