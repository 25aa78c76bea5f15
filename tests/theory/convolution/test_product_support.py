"""Gaps of free products: every one found, edges and masses exact, at any ratio of scales."""

from typing import Any

import numpy as np
import pytest

from hessium.theory import Empirical, Law, MarchenkoPastur, free_product
from hessium.theory.convolution._eta_branches import NegativeBranch, _excess
from hessium.theory.convolution._eta_transform import EtaTransform
from hessium.theory.convolution.free_product import FreeProduct

# a scan of 640 points lost intervals of these, or put their mass into others
HARD: dict[str, tuple[Law, Law]] = {
    "six decades": (Empirical(np.logspace(-6, 0, 20)), MarchenkoPastur(ratio=0.01)),
    "four decades": (MarchenkoPastur(ratio=0.01), Empirical(np.logspace(-4, 0, 20))),
    "narrow": (Empirical([1, 5, 10]), MarchenkoPastur(ratio=1e-7)),
    "an atom at 0": (Empirical([0, 1e-6, 1]), MarchenkoPastur(ratio=0.2)),
    "heavy atoms": (
        Empirical([1, 2, 7], weights=[0.8, 0.1, 0.1]),
        Empirical([1, 3, 4], weights=[0.1, 0.1, 0.8]),
    ),
    "a gap as narrow as 3e-3": (Empirical([1, 2, 7]), Empirical([1, 3, 4])),
    "hard edge": (Empirical([1e-6, 1]), MarchenkoPastur(ratio=1)),
    "two points twice": (Empirical([1, 2]), Empirical([1, 2])),
}


@pytest.mark.sampled
@pytest.mark.parametrize("name", HARD)
def test_mass_and_mean_through_the_intervals(name: Any) -> None:
    first, second = HARD[name]
    law = free_product(first, second)
    share = (np.arange(400) + 0.5) / 400
    total = float(sum(law.atoms.values()))
    mean = float(sum(a * weight for a, weight in law.atoms.items()))
    for low, high in law.support_intervals():
        x = low + (high - low) * np.sin(0.5 * np.pi * share) ** 2
        part = law.pdf(x) * (high - low) * 0.5 * np.pi * np.sin(np.pi * share) / 400
        # hard edges cost digits of the quadrature
        assert part.sum() == pytest.approx(law.cdf(high) - law.cdf(low), abs=1e-6)
        total, mean = total + float(part.sum()), mean + float(x @ part)
    assert total == pytest.approx(1, abs=2e-6)
    assert mean == pytest.approx(first.mean() * second.mean(), rel=2e-6)


def test_every_scale_has_its_interval_and_quantile() -> None:
    e = np.logspace(-6, 0, 20)
    law = free_product(Empirical(e), MarchenkoPastur(ratio=0.01))
    spans = np.array(law.support_intervals())
    assert len(spans) == 20
    assert (spans[:, 0] < e).all()
    assert (e < spans[:, 1]).all()
    assert np.diff(law.cdf(spans[:, 1])) == pytest.approx(np.full(19, 0.05), abs=1e-12)
    # the middle of the second band
    assert law.ppf(0.075) == pytest.approx(e[1], rel=0.05)
    swapped = free_product(MarchenkoPastur(ratio=0.01), Empirical(e))
    assert np.ravel(swapped.support_intervals()) == pytest.approx(spans.ravel(), rel=1e-10)


def test_edges_scale_with_the_factors() -> None:
    law = free_product(Empirical([1.0, 3.0]), MarchenkoPastur(ratio=0.01))
    tiny = free_product(Empirical([1e-30, 3e-30]), MarchenkoPastur(ratio=0.01))
    assert np.ravel(tiny.support_intervals()) * 1e30 == pytest.approx(
        np.ravel(law.support_intervals()), rel=1e-10
    )


def test_intervals_are_where_real_fixed_points_stop() -> None:
    rng = np.random.default_rng(3)
    for _ in range(2):
        one, two = (Empirical(rng.integers(1, 60, 4) / 7) for _ in range(2))
        law = free_product(one, two)
        assert isinstance(law, FreeProduct)
        x = np.linspace(0.01, 1.02 * law.support()[1], 300)
        found = law._solve(x.astype(complex))
        inside = found.certified
        ends = np.ravel(law.support_intervals())
        clear = np.abs(x[:, None] - ends).min(1) > 1e-6
        assert (inside == (law.pdf(x) > 0))[clear].all()


def test_bounds_on_the_negative_half_line_hold() -> None:
    branch = NegativeBranch(EtaTransform(Empirical([1e-4, 1e-2, 1.0, 50.0])))
    knots = np.linspace(-20, 20, 41)
    most, near, least, far = branch.bounds(knots)
    k = np.zeros(40, dtype=np.int64)
    for part in np.linspace(0, 1, 7):
        b = branch.at(k, knots[:-1] + part * np.diff(knots))[3]
        assert (near[0] <= b * (1 + 1e-9)).all()
        assert (b <= far[0] * (1 + 1e-9)).all()
    assert np.array_equal(most[0], 1 - near[0])
    assert np.array_equal(least[0], 1 - far[0])


def test_the_bound_inverts_its_definition() -> None:
    level = np.array([-30.0, -3.0, -1.1])
    b = _excess(level)
    c = b / (1 + b)
    assert np.log(c) - c == pytest.approx(level, rel=1e-12)
    assert np.isinf(_excess(np.array([-0.5]))).all()


def test_a_lost_interval_is_refused() -> None:
    law = free_product(Empirical([1.0, 10.0]), MarchenkoPastur(ratio=0.1))
    assert isinstance(law, FreeProduct)
    law.__dict__["_intervals"] = law.support_intervals()[:1]
    with pytest.raises(RuntimeError, match="product of the means"):
        law.cdf(1.0)
