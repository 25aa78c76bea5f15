"""Light atoms far away: every value against 60 digits, every band against its mass."""

from collections.abc import Callable
from typing import Any

import mpmath as mp
import numpy as np
import pytest

from hessium import theory
from hessium.errors import ConvergenceError
from hessium.theory import (
    Arcsine,
    Empirical,
    Law,
    Semicircle,
    Uniform,
    free_power,
    free_product,
    free_sum,
)
from hessium.theory.convolution.general_sum import GeneralSum
from hessium.theory.convolution.subordination import SubordinatedLaw

Reciprocal = Callable[[Any], tuple[Any, Any]]


def finite(law: Empirical) -> Reciprocal:
    """F and F' of a finite spectrum in the precision of the caller."""
    nodes = [mp.mpf(float(x)) for x in law.nodes]
    shares = [mp.mpf(float(w)) for w in law.weights]
    total = sum(shares)

    def reciprocal(z: Any) -> tuple[Any, Any]:
        y = [1 / (z - x) for x in nodes]
        g = sum(w * u for w, u in zip(shares, y, strict=True)) / total
        return 1 / g, sum(w * u * u for w, u in zip(shares, y, strict=True)) / total / g**2

    return reciprocal


def semicircle(variance: float) -> Reciprocal:
    def reciprocal(z: Any) -> tuple[Any, Any]:
        radius = 2 * mp.sqrt(mp.mpf(variance))
        root = mp.sqrt(z - radius) * mp.sqrt(z + radius)
        return (z + root) / 2, (1 + z / root) / 2

    return reciprocal


def arcsine(radius: float) -> Reciprocal:
    def reciprocal(z: Any) -> tuple[Any, Any]:
        root = mp.sqrt(z - mp.mpf(radius)) * mp.sqrt(z + mp.mpf(radius))
        return root, z / root

    return reciprocal


def uniform(low: float, high: float) -> Reciprocal:
    def reciprocal(z: Any) -> tuple[Any, Any]:
        a, b = mp.mpf(low), mp.mpf(high)
        g = (mp.log(z - a) - mp.log(z - b)) / (b - a)
        return 1 / g, 1 / ((z - a) * (z - b)) / g**2

    return reciprocal


def equations_of_sum(parts: list[Reciprocal], z: Any, w: list[Any]) -> tuple[Any, Any]:
    """sum w_i - z - (k - 1) F_1 = 0 and F_i = F_1, with their Jacobian."""
    values = [f(u) for f, u in zip(parts, w, strict=True)]
    (first, slope), k = values[0], len(w)
    left, matrix = mp.matrix(k, 1), mp.matrix(k, k)
    left[0] = sum(w) - z - (k - 1) * first
    for i in range(k):
        matrix[0, i] = mp.mpf(1)
    matrix[0, 0] -= (k - 1) * slope
    for i in range(1, k):
        left[i] = values[i][0] - first
        matrix[i, 0], matrix[i, i] = -slope, values[i][1]
    return left, matrix


def equations_of_product(parts: list[Reciprocal], z: Any, w: list[Any]) -> tuple[Any, Any]:
    """F_1(u)/u = F_2(v)/v = 1 - eta and eta u v = z, with their Jacobian."""
    (f, slope), (other, other_slope) = (part(u) for part, u in zip(parts, w, strict=True))
    u, v = w
    r, r_slope = f / u, (slope - f / u) / u
    q, q_slope = other / v, (other_slope - other / v) / v
    left = mp.matrix([r - q, (1 - r) * u * v - z])
    return left, mp.matrix([[r_slope, -q_slope], [(1 - r) * v - r_slope * u * v, (1 - r) * u]])


def newton(equations: Any, parts: Any, z: Any, w: list[Any]) -> list[Any] | None:
    """The fixed point in the upper half-plane; there is one only, wherever it came from."""
    for _ in range(15):
        left, matrix = equations(parts, z, w)
        step = mp.lu_solve(matrix, -left)
        if any((u + d).imag <= 0 for u, d in zip(w, step, strict=True)):
            return None
        size = max(abs(d) / u.imag for u, d in zip(w, step, strict=True))
        w = [u + d for u, d in zip(w, step, strict=True)]
        if size < mp.mpf(10) ** -45:
            return w
    return None


def oracle(parts: list[Reciprocal], z: complex, means: list[float] | None = None) -> complex:
    """G from 60 digits, coming down from far above the axis; `means` for products."""
    with mp.workdps(60):
        equations = equations_of_sum if means is None else equations_of_product
        goal, height, share = mp.mpc(z), mp.mpf(10) ** 9, mp.mpf("0.5")
        w: list[Any] | None = None
        while w is None:
            height *= 10
            top = goal + 1j * height
            start = [top] * len(parts) if means is None else [top / m for m in means[::-1]]
            w = newton(equations, parts, top, start)
        while share < 0.999:
            done = newton(equations, parts, goal, w) if height < min(u.imag for u in w) else None
            if done is not None:
                return (
                    complex(1 / parts[0](done[0])[0])
                    if means is None
                    else complex(done[0] / goal / parts[0](done[0])[0])
                )
            lower = newton(equations, parts, goal + 1j * height * share, w)
            if lower is None:
                share = mp.sqrt(share)
            else:
                w, height, share = lower, height * share, max(share**2, mp.mpf("0.1"))
    raise AssertionError(z)


def light(q: float, far: float) -> Empirical:
    return Empirical([0.0, far], weights=[1 - q, q])


THREE, SIGNS = Empirical([-1.0, 0.0, 2.0]), Empirical([-1.0, 1.0])
NOISE, FLAT, ARC = Semicircle(variance=0.01), Uniform(-1.0, 2.0), Arcsine(radius=1.5)
SHIFTED = Empirical([-124.0, -60.0, -186.0])
POSITIVE = Empirical([1.0, 2.0, 5.0])


def split(q: float, far: float) -> Empirical:
    return Empirical([0.0, 1.0, far], weights=[0.5, 0.5 - q, q])


def member(name: str, q: float, far: float) -> tuple[Law, list[Reciprocal], list[float] | None]:
    """A law of a family with its parts."""
    one, two, off = light(q, far), split(q, -far), Empirical([-far, far], weights=[q, 1 - q])
    positive = Empirical([1.0, far], weights=[1 - q, q])
    three, signs, noise = finite(THREE), finite(SIGNS), semicircle(0.01)
    if name == "two spectra":
        return free_sum(THREE, one), [three, finite(one)], None
    if name == "two light atoms":
        return free_sum(one, two), [finite(one), finite(two)], None
    if name == "heavy atom far away":
        return free_sum(SHIFTED, off), [finite(SHIFTED), finite(off)], None
    if name == "uniform":
        return free_sum(FLAT, one), [uniform(-1.0, 2.0), finite(one)], None
    if name == "arcsine":
        return free_sum(ARC, one), [arcsine(1.5), finite(one)], None
    if name == "noise":
        return free_sum(two, NOISE), [finite(two), noise], None
    if name == "three spectra":
        return free_sum(THREE, one, SIGNS), [three, finite(one), signs], None
    if name == "nested, with noise":
        nested = free_sum(free_sum(THREE, one), free_sum(SIGNS, NOISE))
        return nested, [three, finite(one), signs, noise], None
    if name == "power":
        return free_power(two, 3.0), [finite(two)] * 3, None
    means = [POSITIVE.mean(), positive.mean()]
    return free_product(POSITIVE, positive), [finite(POSITIVE), finite(positive)], means


NAMES = [
    "two spectra",
    "two light atoms",
    "heavy atom far away",
    "uniform",
    "arcsine",
    "noise",
    "three spectra",
    "nested, with noise",
    "power",
    "product",
]
FAR = [(1e-2, 10.0), (1e-4, 1e3), (1e-5, 100.0), (1e-6, 8e4), (1e-8, 1e6)]
FAST = [(1e-5, 100.0)]
MEMBERS = [
    pytest.param(name, *p, marks=[] if p in FAST and "nested" not in name else pytest.mark.slow)
    for name in NAMES
    for p in FAR
]


@pytest.mark.sampled
@pytest.mark.parametrize(("name", "q", "far"), MEMBERS)
def test_values_over_the_bands_have_all_digits(name: str, q: float, far: float) -> None:
    law, parts, means = member(name, q, far)
    worst = 0.0
    for low, high in law.support_intervals()[-2:]:
        x, width = low + 0.37 * (high - low), high - low
        for z in (complex(x), x + 1e-3j * width):
            g, slope = (complex(a[0]) for a in law.cauchy_above(np.array([z])))
            # a few units of rounding of z move the value by so much
            room = 1e-9 + 40 * np.finfo(float).eps * abs(z) * abs(slope / g)
            worst = max(worst, abs(g / oracle(parts, z, means) - 1) / room)
            if isinstance(law, SubordinatedLaw):
                assert law.residual(z) < 1e-13
    assert worst < 1


@pytest.mark.sampled
@pytest.mark.parametrize(("name", "q", "far"), MEMBERS)
def test_bands_integrate_to_their_masses(name: str, q: float, far: float) -> None:
    law = member(name, q, far)[0]
    t, weights = np.polynomial.legendre.leggauss(60)
    for low, high in law.support_intervals():
        x = 0.5 * (low + high) + 0.5 * (high - low) * np.sin(0.5 * np.pi * t)
        inside = (low < x) & (x < high)
        heights = 0.25 * np.pi * (high - low) * weights * np.cos(0.5 * np.pi * t)
        atoms = sum(w for a, w in law.atoms.items() if low < a <= high)
        assert law.pdf(x[inside]) @ heights[inside] == pytest.approx(
            law.mass(low, high) - atoms, rel=2e-2
        )


def test_a_point_without_a_certificate_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    from hessium.theory import _fixed_point

    law = free_sum(THREE, light(1e-4, 100.0))
    low, high = law.support_intervals()[1]
    x = 0.5 * (low + high)
    assert law.pdf(x) > 0
    monkeypatch.setattr(_fixed_point, "_NEAR", 0.0)
    monkeypatch.setattr(_fixed_point, "_NOISE", 0.0)
    monkeypatch.setattr(_fixed_point, "_STAGES", 3)
    assert isinstance(law, SubordinatedLaw)
    assert law.residual(x) == np.inf
    for ask in (law.pdf, law.cdf, law.stieltjes, law.log_potential):
        with pytest.raises(ConvergenceError, match="no certified value"):
            ask(x)


def three_summands() -> tuple[Empirical, Empirical, Uniform]:
    rng = np.random.default_rng(1)
    return Empirical(rng.normal(size=4)), Empirical(rng.normal(size=3)), FLAT


@pytest.mark.slow
def test_many_summands_equal_the_sum_taken_in_two_steps() -> None:
    one, two, three = three_summands()
    flat, nested = free_sum(one, two, three), GeneralSum((GeneralSum((one, two)), three))
    x = np.linspace(*flat.support(), 9)[1:-1]
    assert nested.cdf(x) == pytest.approx(flat.cdf(x), abs=1e-11)
    assert np.ravel(nested.support_intervals()) == pytest.approx(
        np.ravel(flat.support_intervals()), abs=1e-9
    )


def test_many_summands_against_plain_iteration_and_matrices() -> None:
    laws = three_summands()
    flat = free_sum(*laws)
    z = flat.mean() + 2j
    w = np.full(3, z)
    for _ in range(200):
        g = np.array([complex(law.stieltjes(p)) for law, p in zip(laws, w, strict=True)])
        excess = 1 / g - w
        w = 0.5 * (w + z + excess.sum() - excess)
    assert complex(flat.stieltjes(z)) == pytest.approx(complex(g[0]), rel=1e-11)
    eigenvalues = np.linalg.eigvalsh(flat.matrix(400, rng=0))
    levels = (np.arange(400) + 0.5) / 400
    # eigenvalues are rigid: the distance is of order 1/n; 0.015 has no false alarms
    assert np.abs(flat.cdf(eigenvalues) - levels).max() < 0.015
    assert np.abs(flat.shifted(0.1).cdf(eigenvalues) - levels).max() > 0.015


@pytest.mark.parametrize(
    "shift", [0.0, 1e4, *(pytest.param(far, marks=pytest.mark.slow) for far in (1e2, 1e6))]
)
def test_a_common_shift_is_a_symmetry(shift: float) -> None:
    """Spectra far from zero, one with a light atom far away: nothing is lost, the cdf rises."""
    shares = np.array([0.2364, 0.5694, 0.1942])
    first = np.array([-100.0, 0.27, 0.89, 1.8]), np.concatenate([[1e-3], shares * (1 - 1e-3)])
    second = np.array([-0.11, -0.076, 0.06]), np.array([0.1168, 0.6797, 0.2035])
    laws = [theory.Empirical(nodes + shift, weights=weights) for nodes, weights in (first, second)]
    total: Any = theory.free_sum(*laws)
    power = theory.free_power(laws[0], 1.374)
    near = theory.free_sum(*(theory.Empirical(n, weights=w) for n, w in (first, second)))
    x = np.linspace(-1, 3, 41)
    digits = 1e-9 + 1e-13 * shift
    np.testing.assert_allclose(total.cdf(2 * shift + x), near.cdf(x), atol=1e3 * digits)
    assert len(total.support_intervals()) == len(near.support_intervals())
    assert float(total.residual(2 * shift + x).max()) < 1e-12
    steps = np.diff(power.cdf(1.374 * shift + np.linspace(-2, 4, 300)))
    assert steps.min() >= -1e-9


def test_atoms_of_many_summands() -> None:
    signs = theory.Empirical([-1.0, 1.0], weights=[0.01, 0.99])
    atoms = theory.free_sum(*[signs] * 30).atoms
    assert atoms == {30.0: pytest.approx(0.7)}
    assert theory.free_sum(*[theory.Empirical(np.arange(50.0))] * 5).atoms == {}
