"""Critical energies, indices and minimiser energies: the published numbers and their errata."""

from typing import Any

import numpy as np
import pytest

from hessium.errors import InputError
from hessium.theory import (
    MarchenkoPastur,
    Semicircle,
    critical_energy,
    energy_for_index,
    gap_energy,
    goe,
    hessian_law,
    index,
    index_coefficient,
    minimiser_energy,
    ratio_for_critical_energy,
    relu_hessian,
    small_index,
    wishart_wigner,
)

TABLE = [  # ratio, eps_c, alpha_0, eps_c ReLU, alpha_0 ReLU; equal to eq. 21 and 32
    (1 / 16, 0.0972417067, 0.15300887, 5.9381000742, 0.13902504),
    (1 / 8, 0.0752141953, 0.11721154, 2.2326380979, 0.10401050),
    (1 / 4, 0.0435095264, 0.07483274, 0.6274169980, 0.06659987),
    (1 / 3, 0.0290985355, 0.05709029, 0.3125, 0.05145253),
    (1 / 2, 0.0112712430, 0.03350067, 0.0810367098, 0.03110436),
    (2 / 3, 0.0031031547, 0.01838750, 0.0171025281, 0.01756697),
    (3 / 4, 0.0012661986, 0.01267668, 0.0063051326, 0.01226917),
]
MODELS = ["linear", "relu"]


@pytest.mark.parametrize(("ratio", "linear", "alpha", "relu", "alpha_relu"), TABLE)
def test_published_critical_energies_and_coefficients(
    ratio: Any, linear: Any, alpha: Any, relu: Any, alpha_relu: Any
) -> None:
    assert float(critical_energy(ratio)) == pytest.approx(linear, abs=1e-10)
    assert float(critical_energy(ratio, activation="relu")) == pytest.approx(relu, abs=1e-10)
    assert float(index_coefficient(ratio)) == pytest.approx(alpha, abs=1e-8)
    assert float(index_coefficient(ratio, "relu")) == pytest.approx(alpha_relu, abs=1e-8)


def test_printed_formulas_where_they_do_not_cancel() -> None:
    p = np.array([0.1, 0.25, 0.5])
    eq21 = (1 - 20 * p - 8 * p**2 + (1 + 8 * p) ** 1.5) / 16
    chi = 1 + 16 * p - 8 * p**2
    eq32 = (27 - 18 * chi - chi**2 + 8 * chi**1.5) / (32 * p * (1 - p) ** 3)
    assert critical_energy(p) == pytest.approx(eq21, rel=1e-12)
    assert critical_energy(p, "relu", 2.0) == pytest.approx(4 * eq32, rel=1e-12)
    near = np.array([1 - 1e-6])
    assert critical_energy(near) == pytest.approx(2 / 27 * 1e-18, rel=1e-5)
    assert critical_energy(near, "relu") == pytest.approx(8 / 27 * 1e-18, rel=1e-5)
    assert critical_energy([1.0, 3.0]).tolist() == [0, 0]
    assert index_coefficient(1e-9) == pytest.approx(2 / (3 * np.pi), rel=1e-6)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("ratio", [1e-3, 0.05, 0.25, 0.5, 0.75, 0.99])
@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_lower_edge_is_zero_at_the_critical_energy(model: Any, ratio: Any, scale: Any) -> None:
    energy = float(critical_energy(ratio, model, scale))
    low, high = hessian_law(energy, ratio, model, scale).support()
    assert abs(low) < 1e-14 * high
    assert float(index(energy * (1 - 1e-9), ratio, model, scale)) == 0
    assert float(index(energy * 1.001, ratio, model, scale)) > 0


def test_scale_is_a_variance_scale_so_critical_energies_go_as_its_square() -> None:
    assert critical_energy(0.3, "relu", 0.5) == pytest.approx(0.25 * critical_energy(0.3, "relu"))
    assert critical_energy(0.3, "relu", 0.5) != pytest.approx(0.5 * critical_energy(0.3, "relu"))


@pytest.mark.parametrize("model", MODELS)
def test_small_index_law_is_the_limit_of_the_exact_index(model: Any) -> None:
    for ratio in (0.25, 0.5, 0.75):
        critical = float(critical_energy(ratio, model))
        energies = critical * (1 + np.array([1e-2, 1e-4, 1e-6]))
        share = index(energies, ratio, model) / small_index(energies, ratio, model)
        errors = np.abs(share - 1)
        assert errors[1] < 2e-3
        assert errors[2] < 2e-5
        assert (errors < [0.2, 2e-3, 2e-5]).all()
    steps = np.log(index(critical * (1 + np.array([1e-4, 1e-5])), 0.75, model))
    assert (steps[0] - steps[1]) / np.log(10) == pytest.approx(1.5, abs=1e-3)


def test_index_limit_at_half_is_the_coefficient() -> None:
    critical = float(critical_energy(0.5))
    value = float(index(critical * (1 + 1e-5), 0.5)) / 1e-5**1.5
    assert value == pytest.approx(0.033500, abs=2e-5)


@pytest.mark.parametrize("model", MODELS)
def test_tiny_index_agrees_with_mpmath_in_relative_terms(model: Any) -> None:
    mp = pytest.importorskip("mpmath")
    with mp.workdps(60):
        for ratio, excess in ((0.5, 1e-2), (0.25, 1e-4), (0.75, 1e-6)):
            energy = float(critical_energy(ratio, model)) * (1 + excess)
            e, p = mp.mpf(energy), mp.mpf(ratio)
            if model == "linear":
                coefficients = [2 * e * p, -2 * e, p - 1, -1]
            else:
                coefficients = [-e * p**2 * (p - 2), -p * e * (1 - p), -2 * (1 - p), -2]
            g = min(mp.polyroots(coefficients, maxsteps=500, extraprec=300), key=mp.im)
            phi = mp.log(g) - mp.log(1 - p * g) / p
            phi += e * g**2 if model == "linear" else -mp.log(1 - e * p**2 * g**2 / 2) / (2 * p)
            exact = float(1 + mp.im(phi) / mp.pi)
            error = abs(float(index(energy, ratio, model)) / exact - 1)
            assert error < 1e-14 / excess


def test_index_is_a_count_where_zero_lies_in_a_gap() -> None:
    ratios = np.array([2.5, 40.0, 4999.0, 5e3, 1e4, 1e6, 1e9])
    # each negative jump makes one negative eigenvalue, a share 1/2 of 1/ratio
    assert index(1.0, ratios, "relu") * ratios == pytest.approx(0.5, rel=1e-15)
    assert float(index(100.0, 1.5, "relu")) == pytest.approx(1 / 3, rel=1e-15)
    n = 200
    values = np.linalg.eigvalsh(hessian_law(1.0, 4.0, "relu").matrix(n, rng=0))
    assert (values < -1e-9).sum() == round(n * float(index(1.0, 4.0, "relu")))  # Sylvester


def test_index_counts_no_exact_zeros() -> None:
    assert float(index(0.0, 4.0)) == 0
    law = relu_hessian(0.5, 4.0)
    assert law.atoms == {0.0: 0.5}
    assert float(index(0.5, 4.0, "relu")) == pytest.approx(float(law.cdf(-1e-12)), abs=1e-9)
    assert index([[0.1, 0.5]], 0.25).shape == (1, 2)
    assert index(0.1, [0.25, 0.5, 0.75]) == pytest.approx([0.05398048, 0.11356203, 0.15906508])


def test_index_against_sampled_matrices() -> None:
    # (n, energy, ratio) -> |difference| is O(1/n) by rigidity; 3e-3 at n = 800, no false alarms
    law = wishart_wigner(0.3, 0.5)
    eigenvalues = np.linalg.eigvalsh(law.matrix(800, rng=0))
    share = (eigenvalues < 0).mean()
    assert share == pytest.approx(float(index(0.3, 0.5)), abs=3e-3)
    assert share != pytest.approx(float(index(0.3, 0.45)), abs=3e-3)  # a wrong ratio is seen


@pytest.mark.parametrize("model", MODELS)
def test_inverse_problems(model: Any) -> None:
    for ratio, value in ((0.25, 0.1), (0.5, 1e-8), (1.5, 0.2), (0.9, 0.24)):
        energy = energy_for_index(value, ratio, model, 1.5)
        assert float(index(energy, ratio, model, 1.5)) == pytest.approx(value, rel=1e-9)
    for ratio in (1e-6, 0.1, 0.5, 0.999):
        energy = float(critical_energy(ratio, model, 2.0))
        # near ratio 0 the linear critical energy is flat, so the ratio has fewer digits
        assert ratio_for_critical_energy(energy, model, 2.0) == pytest.approx(ratio, rel=1e-8)
    with pytest.raises(InputError, match="index_value"):
        energy_for_index(0.6, 0.5, model)
    with pytest.raises(InputError, match="index_value"):
        energy_for_index(0.1, 2.0, model)  # the atom of H0 at zero splits at once
    with pytest.raises(InputError, match="energy"):
        ratio_for_critical_energy(0.2, "linear")


def test_gap_closes_at_the_closed_form() -> None:
    for ratio in (1.01, 2.0, 9.0, 80.0):
        gap = float(gap_energy(ratio))
        assert len(wishart_wigner(gap * (1 - 1e-7), ratio).support_intervals()) == 2
        assert len(wishart_wigner(gap * (1 + 1e-7), ratio).support_intervals()) == 1
    assert gap_energy(2.0) == pytest.approx(0.017559993780, abs=1e-12)
    assert gap_energy(0.5) == 0


@pytest.mark.parametrize("call", [critical_energy, index_coefficient, gap_energy, minimiser_energy])
def test_bad_ratios_are_refused(call: Any) -> None:
    for bad in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(InputError, match="ratio"):
            call(bad)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(InputError, match="activation"):
        critical_energy(0.5, "tanh")
    with pytest.raises(InputError, match="activation"):
        index(0.5, 0.5, "tanh")
    with pytest.raises(InputError, match="ratio"):
        index_coefficient(1.0)
    with pytest.raises(InputError, match="scale"):
        critical_energy(0.5, scale=0.0)
    with pytest.raises(InputError, match="model"):
        minimiser_energy(0.5, "cubic")


# ---------------------------------------------------------------- errata of the sources


def test_erratum_wishart_entries_have_variance_scale_over_p() -> None:
    scale, ratio, n = 0.5, 0.5, 600
    columns = int(n / ratio)
    source = np.random.default_rng(0).standard_normal((n, columns))
    law = MarchenkoPastur(ratio=ratio, scale=scale)
    assert law.support() == pytest.approx((0.0429, 1.457), abs=1e-3)
    right = np.linalg.eigvalsh(scale / columns * source @ source.T)
    printed = np.linalg.eigvalsh(scale**2 / columns * source @ source.T)
    assert right[[0, -1]] == pytest.approx(law.support(), abs=0.02)
    assert abs(printed[-1] - law.support()[1]) > 0.7
    assert law.mean() == pytest.approx(scale)


def test_erratum_wigner_entries_have_variance_over_n() -> None:
    n, variance = 400, 0.7
    top = np.linalg.eigvalsh(goe(n, variance, rng=0))[-1]
    assert top == pytest.approx(Semicircle(variance=variance).support()[1], rel=0.03)
    assert top * np.sqrt(n) > 10 * Semicircle(variance=variance).support()[1]


def test_erratum_energy_of_linear_networks() -> None:
    # least squares of random targets on random inputs: the residual energy is (1 - n/m)/2
    n = 64
    rng = np.random.default_rng(0)
    for m, published in ((128, 0.25), (256, 0.375)):
        inputs, targets = rng.standard_normal((n, m)), rng.standard_normal((n, m))
        fit = np.linalg.lstsq(inputs.T, targets.T, rcond=None)[0].T @ inputs
        energy = ((fit - targets) ** 2).sum() / (2 * m * n)
        ratio = 2 * n / m
        assert energy == pytest.approx(float(minimiser_energy(ratio)), abs=0.02)
        assert float(minimiser_energy(ratio)) == pytest.approx(published)
        assert abs(energy - 0.5 * (1 - ratio)) > 0.1  # as printed
    assert minimiser_energy([0.5, 0.25], "tanh") == pytest.approx([0.125, 0.28125])


def test_erratum_null_directions_end_at_ratio_two_not_one() -> None:
    # n zero eigenvalues per unit of rescaling aside, the rank constraint of H1 ends at n = m
    assert relu_hessian(0.3, 1.9).atoms == {}
    assert relu_hessian(0.3, 2.5).atoms[0.0] == pytest.approx(1 - 2 / 2.5)


def test_erratum_rank_of_a_gram_matrix_is_an_equality() -> None:
    x = np.random.default_rng(0).standard_normal((7, 4)) @ np.diag([1, 1, 1, 0])
    assert np.linalg.matrix_rank(x.T @ x) == np.linalg.matrix_rank(x) == 3


def test_erratum_gauss_newton_of_a_sum_of_squares_has_a_factor_two() -> None:
    rng = np.random.default_rng(0)
    jacobian, y = rng.standard_normal((6, 3)), rng.standard_normal(6)

    def gradient(theta: Any) -> Any:
        return 2 * jacobian.T @ (jacobian @ theta - y)

    hessian = np.array([gradient(e) - gradient(0 * e) for e in np.eye(3)])
    outer = sum(np.outer(row, row) for row in jacobian)
    assert hessian == pytest.approx(2 * outer)
    assert np.linalg.norm(hessian - outer) / np.linalg.norm(hessian) == pytest.approx(0.5)
